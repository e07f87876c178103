"""Numbers as claims pages show them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fedgen_bench.base.stats import Interval
from fedgen_bench.review.claims.findings import MOST_SEEDS, Comparison, Grid


def number(value: float | None) -> str:
    """Four significant digits; a dash for nothing."""
    if value is None or math.isnan(value):
        return "–"
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"  # noqa: PLR2004 - where decimals stop helping


def size(value: float | None) -> str:
    """Bytes in decimal units, three significant digits."""
    if value is None:
        return "–"
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= factor:
            return f"{value / factor:.3g} {unit}"
    return f"{value:.0f} B"


def percent(value: float | None, digits: int = 2) -> str:
    """A fraction in percent; what rounds to zero has no sign."""
    return "–" if value is None else f"{100 * value:z.{digits}f} %"


def between(interval: Interval) -> str:
    """The interval's ends with their signs."""
    return "–" if math.isnan(interval.low) else f"{interval.low:+.3g} to {interval.high:+.3g}"


def probability(value: float) -> str:
    """A p value."""
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"  # noqa: PLR2004 - where digits stop telling


def seeds_to_decide(comparison: Comparison) -> str:
    """How many would decide it; a dash where it is decided, or nothing is known from one seed."""
    if comparison.outcome != "undecided" or comparison.advantage.n == 1:
        return "–"
    return str(comparison.seeds_to_decide or f"more than {MOST_SEEDS}")


def comparison_grid(comparisons: Sequence[Comparison], names: tuple[str, str], caption: str = "") -> Grid:
    """One line a comparison; `names` head the two columns of means. Seeds to decide stand where one is undecided."""
    needed = [seeds_to_decide(one) for one in comparisons]
    shown = any(one != "–" for one in needed)
    head = ("compared", *names, "advantage", "95 % interval", "p (Holm)", "seeds")
    return Grid(
        (*head, *(("seeds to decide",) if shown else ()), "outcome"),
        tuple(
            (
                one.what,
                number(one.ours),
                number(one.theirs),
                f"{one.advantage.mean:+.3g}",
                between(one.advantage),
                probability(one.p),
                str(one.advantage.n),
                *((more,) if shown else ()),
                one.outcome,
            )
            for one, more in zip(comparisons, needed, strict=True)
        ),
        caption,
    )


def told(comparisons: Sequence[Comparison], unit: str = "") -> str:
    """One sentence for each comparison: outcome, advantage and interval, and where undecided, what would decide it."""
    of = f" {unit}" if unit else ""
    return " ".join(
        f"{one.what}: {one.outcome} ({one.advantage.mean:+.3g}{of}, {between(one.advantage)}{_remaining(one)})."
        for one in comparisons
    )


def _remaining(comparison: Comparison) -> str:
    needed = seeds_to_decide(comparison)
    return "" if needed == "–" else f"; {needed} seeds to decide"
