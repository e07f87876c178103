"""Ranks: places by mean among contenders under equal conditions, shared where the seeds tell nobody apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fedgen_bench.base.stats import paired_difference
from fedgen_bench.results.table import Row
from fedgen_bench.suite.sweeps import variants

if TYPE_CHECKING:
    from fedgen_bench.suite.schema import SuiteSpec


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A row that may have a rank, and what decides it.

    Args:
        mean: of its quality.
        by_seed: its quality under every seed.
        under: the conditions that it ran under.
    """

    row: Row
    mean: float
    by_seed: Mapping[int, float]
    under: str


def ranks(
    candidates: Sequence[Candidate], suite: SuiteSpec, *, lower_is_better: bool
) -> tuple[tuple[Row, ...], dict[str, str]]:
    """The rows with their ranks, best first, and by contender what its rank holds within (empty for one ranking).

    Contenders under unequal conditions (points of a sweep) are not compared: each group is ranked by itself, in the
    suite's order of groups. One whose paired 95 % interval against the first of the rank before it includes zero shares
    that rank. Below two seeds there is no interval, and means decide.
    """
    groups: dict[str, list[Candidate]] = {}
    sign = 1 if lower_is_better else -1
    for candidate in sorted(candidates, key=lambda candidate: (sign * candidate.mean, candidate.row.contender)):
        groups.setdefault(candidate.under, []).append(candidate)
    order = {variant.name: place for place, variant in enumerate(variants(suite))}
    ordered = sorted(
        groups.values(), key=lambda equal: min(order.get(candidate.row.contender, len(order)) for candidate in equal)
    )
    within = _within(suite, ordered, order) if len(ordered) > 1 else {}
    return tuple(row for equal in ordered for row in _ranked(equal)), within


def _ranked(equal: Sequence[Candidate]) -> list[Row]:
    """The rows of one group, best first."""
    first, rank, rows = equal[0], 1, []
    for place, candidate in enumerate(equal, start=1):
        if not _tied(first.by_seed, candidate.by_seed):
            first, rank = candidate, place
        rows.append(replace(candidate.row, rank=rank))
    return rows


def _within(suite: SuiteSpec, ordered: Sequence[Sequence[Candidate]], order: Mapping[str, int]) -> dict[str, str]:
    """By contender, the points of the sweep that its group ran at."""
    points = {
        one.name: f"{suite.sweep.axis}={one.point.value:g}" for one in variants(suite) if suite.sweep and one.point
    }
    within = {}
    for equal in ordered:
        names = [one.row.contender for one in equal]
        where = dict.fromkeys(points[name] for name in sorted(names, key=lambda n: order.get(n, 0)) if name in points)
        within.update(dict.fromkeys(names, ", ".join(where) or "the suite's own"))
    return within


def _tied(first: Mapping[int, float], other: Mapping[int, float]) -> bool:
    """Whether a paired interval over seeds includes zero; one seed alone is tied when it is equal."""
    difference = paired_difference(first, other)
    if difference is None:
        return True
    low, high = (difference.mean, difference.mean) if difference.n == 1 else (difference.low, difference.high)
    return low <= 0 <= high
