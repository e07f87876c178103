"""Two contenders side by side, seed by seed, on every metric that both have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fedgen_bench.base.errors import UsageError, unknown
from fedgen_bench.base.stats import paired_difference
from fedgen_bench.results.pairing import check_pairing, comparable
from fedgen_bench.results.record import Done, Record


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """One metric of two contenders.

    Args:
        first: mean of the first contender over its own seeds.
        second: of the second.
        difference: mean of second minus first over the seeds that both have.
        low: lower end of its paired 95 % t interval; NaN for one seed.
        high: upper end.
        n_seeds: seeds that both have.
    """

    metric: str
    first: float
    second: float
    difference: float
    low: float
    high: float
    n_seeds: int


def contrasts(records: Sequence[Record], first: str, second: str) -> tuple[Contrast, ...]:
    """Metrics by name, of the finished runs that are of the suite itself.

    Raises:
        UsageError: a contender without such a run, with the closest name.
        PairingError: the runs must not stand side by side.
    """
    able = comparable(records)
    names = {record.contender for record in able}
    for name in (first, second):
        if name not in names:
            raise UsageError(unknown("finished contender", name, names))
    chosen = [record for record in able if record.contender in (first, second)]
    check_pairing(chosen)
    metrics = sorted({key for record in chosen if record.contender == first for key in record.metrics})
    made = (_of(chosen, first, second, metric) for metric in metrics)
    return tuple(contrast for contrast in made if contrast is not None)


def _of(records: Sequence[Done], first: str, second: str, metric: str) -> Contrast | None:
    ours, theirs = (
        {
            record.seed: record.metrics[metric]
            for record in records
            if record.contender == name and metric in record.metrics
        }
        for name in (first, second)
    )
    between = paired_difference(ours, theirs)
    if between is None:
        return None
    means = [sum(values.values()) / len(values) for values in (ours, theirs)]
    return Contrast(
        metric=metric,
        first=means[0],
        second=means[1],
        difference=between.mean,
        low=between.low,
        high=between.high,
        n_seeds=between.n,
    )
