"""Claim 6: diminishing returns beyond moderate rank."""

from __future__ import annotations

import math

from fedgen_bench import ClaimSpec, hookimpl
from fedgen_bench.authors.claims import (
    BySeed,
    Chart,
    Comparison,
    Evidence,
    Finding,
    Grid,
    Published,
    Verdict,
    adjusted,
    apart,
    compare,
    comparison_grid,
    mean,
    missing,
    number,
    percent,
    points,
    told,
)
from fedgen_bench_plugins.claims.uplink import savings

TITLE = "Rank"
CLAIM = "Quality gains from a higher rank, with diminishing returns beyond a moderate one."
_FEWEST = 3
_METHOD = """Suite `{suite}`, {n} seeds; LoRA's alpha grows with the rank. The gain of a doubling is the improvement \
of the final test quality ({unit}) between two ranks over the number of doublings between them. Paired over seeds, t \
interval, Holm's correction."""


def judge(evidence: Evidence) -> Finding:
    """Holds when a doubling below the middle rank gains, and gains more than one above it."""
    sheet = evidence.sweeps.get("rank")
    if sheet is None or len(sheet.axis) < _FEWEST:
        return missing(TITLE, CLAIM, "No suite that sweeps the rank for this one is published.")
    first, middle, last = sheet.axis[0], sheet.axis[len(sheet.axis) // 2], sheet.axis[-1]
    early, late = _per_doubling(sheet, first, middle), _per_doubling(sheet, middle, last)
    comparisons = adjusted(
        [
            compare(
                f"a doubling from {first:g} to {middle:g} against none",
                early,
                dict.fromkeys(early, 0.0),
                lower_is_better=False,
            ),
            compare(f"it against one from {middle:g} to {last:g}", early, late, lower_is_better=False),
        ]
    )
    outcomes = {one.outcome for one in comparisons}
    verdict: Verdict = "not decided"
    if "worse" in outcomes:
        verdict = "does not hold"
    elif outcomes == {"better"}:
        verdict = "holds"
    best = _best(sheet)
    gains = [f"{mean(list(gain.values())):+.3g}" if gain else "–" for gain in (early, late)]
    return Finding(
        title=TITLE,
        claim=CLAIM,
        verdict=verdict,
        method=_METHOD.format(
            suite=sheet.suite.suite.name, n=len(sheet.suite.seeds.leaderboard), unit=sheet.quality.unit
        ),
        reading=(
            f"A doubling gains {gains[0]} up to rank {middle:g} and {gains[1]} beyond. Best is rank {best:g}. "
            + told(comparisons, sheet.quality.unit)
        ),
        grids=(
            comparison_grid(comparisons, ("first", "second")),
            Grid(("rank", "quality (test)", "over seeds", "uplink saved"), _rows(sheet), apart(evidence, sheet)),
            comparison_grid(_against(sheet, best), ("first", "second"), "Every rank against the best one"),
        ),
        charts=(_chart(sheet),),
    )


def _best(sheet: Published) -> float:
    pick = min if sheet.quality.lower_is_better else max
    return pick(sheet.axis, key=lambda rank: mean(list(sheet.final(sheet.reference, rank).values())))


def _against(sheet: Published, best: float) -> list[Comparison]:
    name, lower = sheet.reference, sheet.quality.lower_is_better
    return adjusted(
        compare(
            f"rank {rank:g} against {best:g}", sheet.final(name, rank), sheet.final(name, best), lower_is_better=lower
        )
        for rank in sheet.axis
        if rank != best
    )


def _rows(sheet: Published) -> tuple[tuple[str, ...], ...]:
    rows = []
    for rank in sheet.axis:
        final, saved = sheet.final(sheet.reference, rank), savings(sheet, sheet.reference, rank)
        if final:
            span = f"{number(min(final.values()))} to {number(max(final.values()))}"
            part = percent(mean([one[0] for one in saved.values()])) if saved else "–"
            rows.append((f"{rank:g}", number(mean(list(final.values()))), span, part))
    return tuple(rows)


def _chart(sheet: Published) -> Chart:
    name, full = sheet.reference, sheet.final(sheet.full_model)
    series = (
        (name, points((rank, sheet.final(name, rank)) for rank in sheet.axis)),
        (sheet.full_model, points((rank, full) for rank in sheet.axis)),
    )
    label = f"{sheet.quality.unit} (test)"
    return Chart(
        name="quality_by_rank", title="Quality against rank", x_label="rank", y_label=label, series=series, log_x=True
    )


def _per_doubling(sheet: Published, start: float, end: float) -> BySeed:
    """Improvement of the final quality for each doubling of the rank, by seed."""
    before, after = sheet.final(sheet.reference, start), sheet.final(sheet.reference, end)
    sign = 1 if sheet.quality.lower_is_better else -1
    doublings = math.log2(end / start)
    return {seed: sign * (before[seed] - after[seed]) / doublings for seed in before.keys() & after.keys()}


@hookimpl
def register_claims() -> list[ClaimSpec]:
    return [
        ClaimSpec(name="rank", summary="Diminishing returns beyond a moderate rank.", number="6", judge=judge),
    ]
