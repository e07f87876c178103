"""Ranks: places by mean among contenders under equal conditions, shared where the seeds tell nobody apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.stats import paired_difference
from fedgen_bench.suite.sweeps import variants

if TYPE_CHECKING:
    from fedgen_bench.suite.schema import SuiteSpec


def ranks(
    rows: Sequence[dict[str, Any]],
    by_seed: Mapping[str, dict[int, float]],
    under: Mapping[str, str],
    suite: SuiteSpec,
    *,
    lower: bool,
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Fill in the ranks of rows that have 0 there; returns these rows, best first, and what ranks hold within.

    Contenders under unequal conditions (points of a sweep) are not compared: each group is ranked by itself, in the
    suite's order of groups. One whose paired 95 % interval against the first of the rank before it includes zero shares
    that rank. Below two seeds there is no interval, and means decide.

    Args:
        rows: of a table, by `leaderboard.COLUMNS`.
        by_seed: by contender, its quality under every seed.
        under: by contender, the conditions that it ran under.
        suite: whose contenders and points give the order of groups.
        lower: whether lower is better.
    """
    listed = variants(suite)
    order = {one.name: i for i, one in enumerate(listed)}
    points = {one.name: f"{suite.sweep.axis}={one.point.value:g}" for one in listed if suite.sweep and one.point}
    able = sorted(
        (row for row in rows if row["rank"] == 0),
        key=lambda row: (row["quality_mean"] if lower else -row["quality_mean"], row["contender"]),
    )
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in able:
        groups.setdefault(under[row["contender"]], []).append(row)
    for equal in groups.values():
        first, shared = equal[0]["contender"], 1
        for place, row in enumerate(equal, start=1):
            if not _tied(by_seed[first], by_seed[row["contender"]]):
                first, shared = row["contender"], place
            row["rank"] = shared
    ordered = sorted(groups.values(), key=lambda equal: min(order.get(one["contender"], len(order)) for one in equal))
    among = {}
    for equal in ordered:
        names = [one["contender"] for one in equal]
        where = dict.fromkeys(points[name] for name in sorted(names, key=lambda n: order.get(n, 0)) if name in points)
        among.update(dict.fromkeys(names, ", ".join(where) or "the suite's own"))
    return [row for equal in ordered for row in equal], among if len(ordered) > 1 else {}


def _tied(first: dict[int, float], other: dict[int, float]) -> bool:
    """Whether a paired interval over seeds includes zero; one seed alone is tied when it is equal."""
    found = paired_difference(first, other)
    if found is None:
        return True
    low, high = (found.mean, found.mean) if found.n == 1 else (found.low, found.high)
    return low <= 0 <= high
