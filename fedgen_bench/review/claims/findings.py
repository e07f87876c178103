"""What a claim's evaluation gives: comparisons with intervals, a verdict, tables and charts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from fedgen_bench.base.stats import Interval, holm, interval, n_for_power, p_value
from fedgen_bench.review.claims.evidence import BySeed, Published, mean

Verdict = Literal["holds", "does not hold", "not decided", "no evidence"]
LEVEL = 0.05
MOST_SEEDS = 100


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two paired series over seeds.

    Args:
        what: what is compared.
        ours: mean of the first.
        theirs: mean of the second.
        advantage: of ours over theirs in units of the metric, above zero when ours is better: mean and 95 % interval.
        p: two-sided, of Student's t test that the advantage is zero; adjusted once it went through `adjusted`.
        level: that p had to be below, before the adjustment, where Holm's procedure stopped.
    """

    what: str
    ours: float
    theirs: float
    advantage: Interval
    p: float
    level: float = LEVEL

    @property
    def outcome(self) -> Literal["better", "worse", "undecided"]:
        """At the 5 % level, by the adjusted p."""
        if self.p >= LEVEL:
            return "undecided"
        return "better" if self.advantage.mean > 0 else "worse"

    @property
    def seeds_to_decide(self) -> int | None:
        """The fewest with a power of 80 % at `level` if the effect and its deviation are those observed.

        None where more than `MOST_SEEDS` are needed, or one seed tells no deviation.
        """
        mean, std = self.advantage.mean, self.advantage.std
        return n_for_power(mean / std if std else 0.0, self.level, MOST_SEEDS)


@dataclass(frozen=True)
class Grid:
    """A table of the page."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""


@dataclass(frozen=True)
class Point:
    """A mean and its range over seeds."""

    x: float
    mean: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A drawing and, with the same name, its data as CSV."""

    name: str
    title: str
    x_label: str
    y_label: str
    series: tuple[tuple[str, tuple[Point, ...]], ...]
    log_x: bool = False


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One claim judged.

    Args:
        claim: the sentence that is judged.
        method: how.
        reading: what came out, in words and figures.
    """

    title: str
    claim: str
    verdict: Verdict
    method: str
    reading: str
    grids: tuple[Grid, ...] = ()
    charts: tuple[Chart, ...] = ()


def compare(what: str, ours: BySeed, theirs: BySeed, *, lower_is_better: bool) -> Comparison | None:
    """Over the seeds that both have; None without any."""
    seeds = sorted(ours.keys() & theirs.keys())
    if not seeds:
        return None
    sign = 1.0 if lower_is_better else -1.0
    gains = [sign * (theirs[seed] - ours[seed]) for seed in seeds]
    mine, others = (mean([values[seed] for seed in seeds]) for values in (ours, theirs))
    return Comparison(what=what, ours=mine, theirs=others, advantage=interval(gains), p=p_value(gains))


def adjusted(comparisons: Iterable[Comparison | None]) -> list[Comparison]:
    """Those that could be made, with Holm's correction over all of them.

    The procedure stops at the level that the first undecided one misses: 5 % over the number of all that are left.
    """
    made = [comparison for comparison in comparisons if comparison is not None]
    found = holm([comparison.p for comparison in made])
    n_left = sum(p >= LEVEL for p in found)
    return [
        replace(comparison, p=p, level=LEVEL / n_left if p >= LEVEL else LEVEL)
        for comparison, p in zip(made, found, strict=True)
    ]


def combined(comparisons: Sequence[Comparison]) -> Verdict:
    """`holds` when all are better, `does not hold` when one is worse, else `not decided`."""
    outcomes = {one.outcome for one in comparisons}
    if not outcomes:
        return "no evidence"
    if "worse" in outcomes:
        return "does not hold"
    return "holds" if outcomes == {"better"} else "not decided"


def missing(title: str, claim: str, what: str) -> Finding:
    """A claim that nothing was published about."""
    return Finding(title=title, claim=claim, verdict="no evidence", method="", reading=what)


def points(by_x: Iterable[tuple[float, BySeed]]) -> tuple[Point, ...]:
    """Means and ranges over seeds, by ascending x; an x without seeds is left out."""
    made = [Point(x, mean(list(v.values())), min(v.values()), max(v.values())) for x, v in by_x if v]
    return tuple(sorted(made, key=lambda one: one.x))


def axis_chart(
    sheet: Published, x_label: str, name: str, title: str, y_label: str, values: Callable[[str, float], BySeed]
) -> Chart:
    """What `values` gives for the reference and the full model at every value of a sweep's axis."""
    series = tuple(
        (method, points((x, values(method, x)) for x in sheet.axis)) for method in (sheet.reference, sheet.full_model)
    )
    return Chart(name=name, title=title, x_label=x_label, y_label=y_label, series=series, log_x=True)
