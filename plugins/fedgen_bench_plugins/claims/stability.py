"""Claim 4: steadier under non-IID data: spread over rounds and seeds, and loss of quality, as alpha falls."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fedgen_bench import ClaimSpec, hookimpl
from fedgen_bench.authors.claims import (
    BySeed,
    Comparison,
    Evidence,
    Finding,
    Grid,
    Published,
    Scale,
    adjusted,
    apart,
    axis_chart,
    combined,
    compare,
    comparison_grid,
    interval,
    mean,
    missing,
    number,
    percent,
    told,
)

TITLE = "Stability under non-IID data"
CLAIM = "Aggregation is steadier than the full model's when clients' data grow apart (Dirichlet alpha falls)."
_AXIS = "Dirichlet alpha"
_METHOD = """Suite `{suite}`, {n} seeds. Quality lost: relative change of the final test quality of one seed. Spread \
over rounds: noise of the logarithm of the validation curve around a smooth course, from its second differences, \
sqrt(mean d^2 / 6) (Gasser, Sroka, Jennen-Steinmetz 1986), in percent. Spread over seeds: standard deviation of the \
final quality over its mean. The verdict is by the first two, paired over seeds, t interval, Holm's correction. Beside \
it, of the suite itself: what the validation curve has lost since its best round."""


def judge(evidence: Evidence) -> Finding:
    """Holds when the reference loses less quality from the most to the least alike clients, and is less rough there."""
    sheet = evidence.sweeps.get("alpha")
    if sheet is None or len(sheet.axis) < 2:  # noqa: PLR2004 - a change needs two values
        return missing(TITLE, CLAIM, "No suite that sweeps alpha for this one is published.")
    names = (sheet.reference, sheet.full_model)
    low, high = sheet.axis[0], sheet.axis[-1]
    lost = [_lost(sheet, name, low, high) for name in names]
    rough = [_roughness(sheet, name, low) for name in names]
    comparisons = adjusted(
        [
            compare(f"quality lost from alpha {high:g} to {low:g} (%)", *lost, lower_is_better=True),
            compare(f"spread over rounds at alpha {low:g} (%)", *rough, lower_is_better=True),
        ]
    )
    unit = f"{sheet.quality.unit} (test)"
    longer = adjusted([_since_best(evidence.main)])
    return Finding(
        title=TITLE,
        claim=CLAIM,
        verdict=combined(comparisons),
        method=_METHOD.format(suite=sheet.suite.suite.name, n=len(sheet.suite.seeds.leaderboard)),
        reading=f"{told(comparisons, 'percentage points')} {told(longer, 'percentage points')}".strip(),
        grids=(
            comparison_grid(comparisons, names),
            Grid(
                ("alpha", "contender", "quality (test)", "spread over seeds", "spread over rounds"),
                _rows(sheet),
                apart(evidence, sheet),
            ),
            *([comparison_grid(longer, names, f"In `{evidence.main.suite.suite.name}` itself")] if longer else []),
        ),
        charts=(
            axis_chart(sheet, _AXIS, "quality_by_alpha", "Quality against alpha", unit, sheet.final),
            axis_chart(
                sheet,
                _AXIS,
                "spread_by_alpha",
                "Spread over rounds against alpha",
                "spread over rounds (%)",
                lambda name, alpha: _roughness(sheet, name, alpha),
            ),
        ),
    )


def roughness(values: Sequence[float]) -> float | None:
    """Standard deviation of noise around a smooth course, by second differences; None below three values."""
    seconds = [a - 2 * b + c for a, b, c in zip(values, values[1:], values[2:], strict=False)]
    return math.sqrt(math.fsum(one**2 for one in seconds) / len(seconds) / 6) if seconds else None


def _rows(sheet: Published) -> tuple[tuple[str, ...], ...]:
    rows = []
    for alpha in reversed(sheet.axis):
        for name in (sheet.reference, sheet.full_model):
            final, rough = sheet.final(name, alpha), list(_roughness(sheet, name, alpha).values())
            if final and rough:
                shown = (number(mean(list(final.values()))), percent(_relative_std(final)), f"{mean(rough):.3f} %")
                rows.append((f"{alpha:g}", name, *shown))
    return tuple(rows)


def _since_best(main: Published) -> Comparison | None:
    """Of the whole suite, which runs longer than its ablations: percent lost on validation since the best round."""
    lost, pick = [], min if main.followed.lower_is_better else max
    for name in (main.reference, main.full_model):
        values = {seed: [v for _, v, _ in r.curve] for seed, r in main.runs(name).items() if r.curve}
        lost.append({seed: _worse(found[-1], pick(found), main.followed) for seed, found in values.items()})
    what = f"quality lost since the best of {main.suite.federation.rounds} rounds (%)"
    return compare(what, *lost, lower_is_better=True)


def _worse(value: float, base: float, metric: Scale) -> float:
    """Percent by which a value is worse than another one."""
    return 100 * (1 if metric.lower_is_better else -1) * (value / base - 1)


def _roughness(sheet: Published, name: str, alpha: float) -> dict[int, float]:
    found = {}
    for seed, record in sheet.runs(name, alpha).items():
        values = [value for _, value, _ in record.curve]
        if min(values, default=0.0) > 0 and (noise := roughness([math.log(v) for v in values])) is not None:
            found[seed] = 100 * noise
    return found


def _lost(sheet: Published, name: str, low: float, high: float) -> dict[int, float]:
    """Percent of the quality at `high` that is lost at `low`, by seed."""
    at_low, at_high = sheet.final(name, low), sheet.final(name, high)
    return {s: _worse(at_low[s], at_high[s], sheet.quality) for s in at_low.keys() & at_high.keys()}


def _relative_std(values: BySeed) -> float | None:
    found = interval(list(values.values()))
    return None if math.isnan(found.std) else found.std / abs(found.mean)


@hookimpl
def register_claims() -> list[ClaimSpec]:
    return [
        ClaimSpec(
            name="stability",
            summary="Steadier than the full model when clients' data grow apart.",
            number="4",
            judge=judge,
        ),
    ]
