"""For judges of claims: published evidence, paired comparisons, and what a finding is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fedgen_bench.base.stats import Interval, bca_interval, interval, mean_of_all
from fedgen_bench.review.claims.apart import apart
from fedgen_bench.review.claims.costs import Cost, Reached, reached, told_costs
from fedgen_bench.review.claims.evidence import BySeed, Evidence, Published, Scale, mean, to_target
from fedgen_bench.review.claims.findings import (
    Chart,
    Comparison,
    Finding,
    Grid,
    Point,
    Verdict,
    adjusted,
    axis_chart,
    combined,
    compare,
    missing,
    points,
)
from fedgen_bench.review.claims.formats import (
    between,
    comparison_grid,
    number,
    percent,
    probability,
    seeds_to_decide,
    size,
    told,
)

if TYPE_CHECKING:
    from fedgen_bench.results.leaks import Leaks
    from fedgen_bench.results.record import Done

__all__ = [
    "BySeed",
    "Chart",
    "Comparison",
    "Cost",
    "Done",
    "Evidence",
    "Finding",
    "Grid",
    "Interval",
    "Leaks",
    "Point",
    "Published",
    "Reached",
    "Scale",
    "Verdict",
    "adjusted",
    "apart",
    "axis_chart",
    "bca_interval",
    "between",
    "combined",
    "compare",
    "comparison_grid",
    "interval",
    "mean",
    "mean_of_all",
    "missing",
    "number",
    "percent",
    "points",
    "probability",
    "reached",
    "seeds_to_decide",
    "size",
    "to_target",
    "told",
    "told_costs",
]


def __getattr__(name: str) -> Any:
    """Types of finished runs' records, which are imported when they are asked for: judges only annotate with them."""
    if name == "Done":
        from fedgen_bench.results.record import Done

        return Done
    if name == "Leaks":
        from fedgen_bench.results.leaks import Leaks

        return Leaks
    raise AttributeError(f"module `fedgen_bench.authors.claims` has no attribute `{name}`")
