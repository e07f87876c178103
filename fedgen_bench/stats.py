"""Means, intervals and paired differences over seeds. Pure functions on plain numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """A mean, the sample standard deviation, and the two-sided 95 % t interval of the mean (NaN below two values)."""

    mean: float
    std: float
    low: float
    high: float
    n: int


def interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Student's t interval. Raises ValueError without values."""
    n = len(values)
    if n == 0:
        raise ValueError("An interval needs at least one value.")
    mean = math.fsum(values) / n
    if n == 1:
        return Interval(mean, math.nan, math.nan, math.nan, 1)
    from scipy.stats import t

    std = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    half = float(t.ppf(0.5 + confidence / 2, n - 1)) * std / math.sqrt(n)
    return Interval(mean, std, mean - half, mean + half, n)


def paired_difference(ours: dict[int, float], theirs: dict[int, float]) -> Interval | None:
    """Interval of theirs minus ours over the seeds that both have; None when there is none."""
    shared = sorted(ours.keys() & theirs.keys())
    return interval([theirs[seed] - ours[seed] for seed in shared]) if shared else None
