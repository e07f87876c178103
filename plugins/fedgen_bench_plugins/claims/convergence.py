"""Claim 3: faster convergence: area under the curve, rounds and bytes to the best baseline's final quality."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedgen_bench import ClaimSpec, hookimpl
from fedgen_bench.authors.claims import (
    Chart,
    Evidence,
    Finding,
    Grid,
    Published,
    adjusted,
    combined,
    compare,
    comparison_grid,
    mean,
    missing,
    number,
    points,
    reached,
    size,
    told,
    told_costs,
)
from fedgen_bench.authors.digits import show_every

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedgen_bench.authors.claims import Cost

TITLE = "Convergence"
CLAIM = "Faster convergence than each baseline: it reaches the best baseline's final quality in fewer rounds and bytes."
_METHOD = """{unit} on the validation subset after {every}. Area: its mean over the curve, paired over seeds, t \
interval, Holm's correction; the verdict is by area. Rounds and bytes to the target: a dash where not every seed \
reaches it."""


def judge(evidence: Evidence) -> Finding:
    """By the area under the curve over rounds; rounds and bytes to the target stand beside it."""
    main = evidence.main
    lower = main.followed.lower_is_better
    areas = {name: _areas(main, name) for name in (main.reference, *main.baselines)}
    finals = {name: mean(list(last.values())) for name in main.baselines if (last := _last(main, name))}
    if not finals or not areas[main.reference]:
        return missing(TITLE, CLAIM, "There are no curves of the reference and a baseline.")
    best = (min if lower else max)(finals, key=finals.__getitem__)
    target = finals[best]
    comparisons = adjusted(
        compare(name, areas[main.reference], areas[name], lower_is_better=lower) for name in main.baselines
    )
    ours = [reached(record, target, lower=lower) for record in main.runs(main.reference).values()]
    costs = told_costs(record for name in areas for record in main.runs(name).values())
    n_reached = sum(one is not None for one in ours)
    return Finding(
        title=TITLE,
        claim=CLAIM,
        verdict=combined(comparisons),
        method=" ".join(
            (_METHOD.format(unit=main.followed.unit, every=show_every(main.suite.evaluation.every)), *_beside(costs))
        ),
        reading=(
            f"The target is {number(target)}, which `{best}` has after its last round; `{main.reference}` reaches it "
            f"under {n_reached} of {len(ours)} seeds. Area under the curve: {told(comparisons, main.followed.unit)}"
        ),
        grids=(
            comparison_grid(comparisons, (main.reference, "baseline"), "Area under the curve"),
            Grid(
                (
                    *("contender", "area", "seeds that reach it", "rounds to target", "uplink to target"),
                    *(f"{one.name} to target" for one in costs),
                ),
                tuple(
                    _row(main, name, mean(list(area.values())), target, costs) for name, area in areas.items() if area
                ),
                f"To {number(target)}",
            ),
        ),
        charts=(_by_rounds(main), _by_bytes(main)),
    )


def _beside(costs: Sequence[Cost]) -> list[str]:
    if not costs:
        return []
    listed = ", ".join(f"{one.name} ({one.how})" for one in costs)
    return [f"Beside them {listed}, of all clients; docs/costs.md says how each was had."]


def _row(main: Published, name: str, area: float, target: float, costs: Sequence[Cost]) -> tuple[str, ...]:
    ends = [reached(one, target, lower=main.followed.lower_is_better) for one in main.runs(name).values()]
    hits = [one for one in ends if one is not None]
    head = (name, number(area), f"{len(hits)} of {len(ends)}")
    if len(hits) < len(ends):
        return (*head, *("–",) * (2 + len(costs)))
    rounds, sent = mean([one.n_rounds for one in hits]), mean([one.uplink_bytes for one in hits])
    return (*head, f"{rounds:.1f}", size(sent), *(one.shown(hits) for one in costs))


def _areas(main: Published, name: str) -> dict[int, float]:
    return {seed: mean([v for _, v, _ in r.curve]) for seed, r in main.runs(name).items() if r.curve}


def _last(main: Published, name: str) -> dict[int, float]:
    return {seed: r.curve[-1].value for seed, r in main.runs(name).items() if r.curve}


def _by_rounds(main: Published) -> Chart:
    series = []
    for name in (main.reference, *main.baselines):
        at: dict[float, dict[int, float]] = {}
        for seed, record in main.runs(name).items():
            for done, value, _ in record.curve:
                at.setdefault(float(done), {})[seed] = value
        series.append((name, points(at.items())))
    return Chart(
        name="quality_by_rounds",
        title="Quality over rounds",
        x_label="rounds",
        y_label=_label(main),
        series=tuple(series),
    )


def _by_bytes(main: Published) -> Chart:
    series = []
    for name in (main.reference, *main.baselines):
        at: dict[int, list[tuple[int, float, int]]] = {}
        for seed, record in main.runs(name).items():
            for done, value, sent in record.curve:
                at.setdefault(done, []).append((seed, value, sent))
        together = [
            (mean([float(sent) for _, _, sent in found]), {seed: value for seed, value, _ in found})
            for found in at.values()
        ]
        series.append((name, points(together)))
    x_label = "uplink so far, all clients (bytes)"
    return Chart(
        name="quality_by_uplink",
        title="Quality over uplink",
        x_label=x_label,
        y_label=_label(main),
        series=tuple(series),
        log_x=True,
    )


def _label(main: Published) -> str:
    return f"{main.followed.unit} (validation subset)"


@hookimpl
def register_claims() -> list[ClaimSpec]:
    return [
        ClaimSpec(name="convergence", summary="Faster convergence than each baseline.", number="3", judge=judge),
    ]
