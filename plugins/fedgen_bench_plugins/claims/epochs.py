"""Claim 7: more local epochs speed the first rounds up and let clients drift apart."""

from __future__ import annotations

from collections.abc import Callable

from fedgen_bench import ClaimSpec, hookimpl
from fedgen_bench.authors.claims import (
    BySeed,
    Comparison,
    Evidence,
    Finding,
    Grid,
    Published,
    Verdict,
    adjusted,
    apart,
    axis_chart,
    compare,
    comparison_grid,
    mean,
    missing,
    number,
    told,
)

TITLE = "Local epochs"
CLAIM = (
    "Local epochs trade speed against client drift: the first round gains, clients move apart, the end is no better."
)
_AXIS = "local epochs"
_DRIFT = ("mean_change_norm", "dispersion", "cosine_to_mean")
_METHOD = """Suite `{suite}`, {n} seeds, equal rounds, one learning rate for all. d_k is what client k sent minus \
what it received, p_k = n_k / sum n. Dispersion is sqrt(sum p_k |d_k - mean|^2); relative drift is dispersion over \
the norm of the mean change; the cosine is the mean over clients of that between d_k and the mean change. All are \
means over rounds. Paired over seeds, t interval, Holm's correction."""


def judge(evidence: Evidence) -> Finding:
    """Holds when from fewest to most epochs dispersion grows, the first round gains, and the end is not the best."""
    sheet = evidence.sweeps.get("epochs")
    if sheet is None or len(sheet.axis) < 2:  # noqa: PLR2004 - a change needs two values
        return missing(TITLE, CLAIM, "No suite that sweeps local epochs for this one is published.")
    many, best = sheet.axis[-1], _best(sheet)
    comparisons = adjusted(_parts(sheet, best))
    outcomes = {one.outcome for one in comparisons}
    verdict: Verdict = "not decided"
    if "worse" in outcomes or best == many:
        verdict = "does not hold"
    elif outcomes == {"better"}:
        verdict = "holds"
    end = f" The end is best at {best:g} epochs" + (": no number of epochs was too many." if best == many else ".")
    head = ("epochs", "contender", "after the first round", "end (test)", "mean change", "dispersion", "cosine to mean")
    return Finding(
        title=TITLE,
        claim=CLAIM,
        verdict=verdict,
        method=_METHOD.format(suite=sheet.suite.suite.name, n=len(sheet.suite.seeds.leaderboard)),
        reading=told(comparisons) + end,
        grids=(
            comparison_grid(comparisons, ("first", "second")),
            Grid((*head, "relative drift"), _rows(sheet), apart(evidence, sheet)),
            comparison_grid(_each(sheet), ("more", "fewest"), f"Every number of epochs against {sheet.axis[0]:g}"),
        ),
        charts=(
            axis_chart(
                sheet,
                _AXIS,
                "quality_by_epochs",
                "Quality against local epochs",
                f"{sheet.quality.unit} (test)",
                sheet.final,
            ),
            axis_chart(
                sheet,
                _AXIS,
                "drift_by_epochs",
                "Client drift against local epochs",
                "dispersion / norm of the mean change",
                lambda method, n: _relative(sheet, method, n),
            ),
        ),
    )


def _best(sheet: Published) -> float:
    pick = min if sheet.quality.lower_is_better else max
    return pick(sheet.axis, key=lambda n: mean(list(sheet.final(sheet.reference, n).values())))


def _parts(sheet: Published, best: float) -> list[Comparison | None]:
    """The parts of the claim: drift, first round, and end where the most epochs are not the best."""
    name, few, many = sheet.reference, sheet.axis[0], sheet.axis[-1]
    drift = [sheet.drift_of(name, n, "dispersion") for n in (many, few)]
    first = [_first(sheet, name, n) for n in (many, few)]
    end = [sheet.final(name, n) for n in (best, many)]
    against = f"at {many:g} epochs against {few:g}"
    return [
        compare(f"dispersion of clients' changes {against}", *drift, lower_is_better=False),
        compare(f"first round {against}", *first, lower_is_better=sheet.followed.lower_is_better),
        compare(f"end at {best:g} epochs against {many:g}", *end, lower_is_better=sheet.quality.lower_is_better)
        if best != many
        else None,
    ]


def _each(sheet: Published) -> list[Comparison]:
    """Quality and drift at every number of epochs against the fewest; Holm's correction over all."""
    name, few = sheet.reference, sheet.axis[0]
    quality, followed = sheet.quality.lower_is_better, sheet.followed.lower_is_better
    series: tuple[tuple[str, Callable[[float], BySeed], bool], ...] = (
        ("first round", lambda n: _first(sheet, name, n), followed),
        ("end", lambda n: sheet.final(name, n), quality),
        ("cosine to the mean", lambda n: sheet.drift_of(name, n, "cosine_to_mean"), False),
        ("relative drift", lambda n: _relative(sheet, name, n), True),
    )
    return adjusted(
        compare(f"{what}, {n:g} epochs", of(n), of(few), lower_is_better=lower)
        for what, of, lower in series
        for n in sheet.axis[1:]
    )


def _rows(sheet: Published) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (
            f"{n:g}",
            method,
            _shown(_first(sheet, method, n)),
            _shown(final),
            *(_shown(sheet.drift_of(method, n, figure)) for figure in _DRIFT),
            _shown(_relative(sheet, method, n)),
        )
        for n in sheet.axis
        for method in (sheet.reference, sheet.full_model)
        if (final := sheet.final(method, n))
    )


def _first(sheet: Published, method: str, n: float) -> BySeed:
    return {seed: record.curve[0].value for seed, record in sheet.runs(method, n).items() if record.curve}


def _relative(sheet: Published, method: str, n: float) -> BySeed:
    spread, moved = (sheet.drift_of(method, n, figure) for figure in ("dispersion", "mean_change_norm"))
    return {seed: spread[seed] / moved[seed] for seed in spread.keys() & moved.keys() if moved[seed] > 0}


def _shown(values: BySeed) -> str:
    return number(mean(list(values.values()))) if values else "–"


@hookimpl
def register_claims() -> list[ClaimSpec]:
    return [
        ClaimSpec(
            name="local-epochs", summary="Local epochs trade speed against client drift.", number="7", judge=judge
        ),
    ]
