"""How far a number may be off when the same cell is run on another machine: bands from the noise between seeds."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fedgen_bench.base.stats import interval, prediction_half_width
from fedgen_bench.results.pairing import comparable
from fedgen_bench.results.record import Record

FLOOR = 1e-3  # of the mean: what rounding alone moves a metric by where seeds do not (rows that train nothing)


@dataclass(frozen=True, kw_only=True)
class Band:
    """Of one contender's metric over its published seeds.

    Args:
        half_width: one standard deviation over seeds, at least a thousandth of the mean: one seed run elsewhere.
        one_more: half-width of the 95 % prediction interval for one more seed (at least `half_width`): one seed under
            other versions.
    """

    n_seeds: int
    mean: float
    half_width: float
    one_more: float


def band(values: Sequence[float]) -> Band:
    """Of one value or more; a single seed has measured no noise and gets the floor."""
    spread = interval(values)
    half = FLOOR * abs(spread.mean)
    if spread.n == 1:
        return Band(n_seeds=1, mean=spread.mean, half_width=half, one_more=half)
    half = max(half, spread.std)
    return Band(n_seeds=spread.n, mean=spread.mean, half_width=half, one_more=max(half, prediction_half_width(values)))


def bands(records: Iterable[Record]) -> dict[tuple[str, str], Band]:
    """Of published records, by contender and metric; runs with overrides or without a result are left out."""
    values: dict[tuple[str, str], list[float]] = {}
    for record in comparable(records):
        for metric, value in record.metrics.items():
            values.setdefault((record.contender, metric), []).append(value)
    return {key: band(numbers) for key, numbers in sorted(values.items()) if all(map(math.isfinite, numbers))}


def bands_csv(records: Iterable[Record]) -> str:
    """`bands.csv`: one line for every contender and metric, at full precision."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["contender", "metric", "n_seeds", "mean", "half_width", "one_more_seed_half_width"])
    for (contender, metric), allowed in bands(records).items():
        writer.writerow(
            [contender, metric, allowed.n_seeds, repr(allowed.mean), repr(allowed.half_width), repr(allowed.one_more)]
        )
    return out.getvalue()
