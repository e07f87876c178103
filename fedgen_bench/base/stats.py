"""Means, intervals and paired differences over seeds. Pure functions on plain numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """A mean, the sample standard deviation, and the two-sided 95 % t interval of the mean (NaN below two values)."""

    mean: float
    std: float
    low: float
    high: float
    n: int


def mean_of_all(values: Iterable[float | None]) -> float | None:
    """The mean; None where there is no value, or one of them is missing."""
    everything = list(values)
    there = [value for value in everything if value is not None]
    return math.fsum(there) / len(there) if there and len(there) == len(everything) else None


def interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Student's t interval. Raises ValueError without values."""
    n = len(values)
    if n == 0:
        raise ValueError("An interval needs at least one value.")
    try:
        mean, std = _moments(values)
    except OverflowError:  # values near the largest float, whose squares are beyond it
        scale = max(map(abs, values))
        mean, std = (scale * moment for moment in _moments([value / scale for value in values]))
    if n == 1:
        return Interval(mean, math.nan, math.nan, math.nan, 1)
    half = _quantile(confidence, n - 1) * std / math.sqrt(n)
    return Interval(mean, std, mean - half, mean + half, n)


def _quantile(confidence: float, freedom: int) -> float:
    """Of Student's t, with `confidence` between it and its negative: `scipy.stats.t.ppf`, less its import."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.5 + confidence / 2))


def _moments(values: Sequence[float]) -> tuple[float, float]:
    n = len(values)
    if n > 1 and math.isfinite(values[0]) and min(values) == max(values):  # a mean that is rounded would find a spread
        return values[0], 0.0
    mean = math.fsum(values) / n
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1)) if n > 1 else math.nan


def prediction_half_width(values: Sequence[float], confidence: float = 0.95) -> float:
    """Half-width of Student's t prediction interval for one more value, t s sqrt(1 + 1/n). ValueError below two."""
    plain = interval(values)
    if plain.n == 1:
        raise ValueError("A prediction needs at least two values.")
    return _quantile(confidence, plain.n - 1) * plain.std * math.sqrt(1 + 1 / plain.n)


def paired_difference(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Interval | None:
    """Interval of theirs minus ours over the seeds that both have; None when there is none."""
    shared = sorted(ours.keys() & theirs.keys())
    return interval([theirs[seed] - ours[seed] for seed in shared]) if shared else None


def p_value(differences: Sequence[float]) -> float:
    """Two-sided, of Student's t test that the mean is zero; 1 below two values.

    Values that are all the same have no spread: 1 when they are zero, else 0.
    """
    if len(differences) < 2:  # noqa: PLR2004 - one value has no spread
        return 1.0
    change = interval(differences)
    if change.std == 0:
        return float(change.mean == 0)
    from scipy.special import stdtr

    return float(2 * stdtr(change.n - 1, -abs(change.mean) / (change.std / math.sqrt(change.n))))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment (Holm 1979), in the order given; below alpha: rejected at family-wise level alpha."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for place, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def power(ratio: float, n: int, level: float) -> float:
    """How often the two-sided t test of `p_value` on n differences finds p below `level`.

    Its square is noncentral F with 1 and n - 1 degrees of freedom and noncentrality n ratio^2 (Cohen 1988, ch. 2).

    Args:
        ratio: the true mean of the differences over their standard deviation.
        n: two or more.
        level: above 0, below 1.
    """
    from scipy.special import ncfdtr, stdtrit

    bound = stdtrit(n - 1, 1 - level / 2)
    return float(1 - ncfdtr(1, n - 1, n * ratio**2, bound**2))


def n_for_power(ratio: float, level: float, most: int, wanted: float = 0.8) -> int | None:
    """The fewest differences with that `power`; None where `most` have less."""
    return next((n for n in range(2, most + 1) if power(ratio, n, level) >= wanted), None)


def bca_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Bias-corrected and accelerated bootstrap interval of the mean (Efron 1987): 10,000 resamples, fixed draws.

    For many values of unknown distribution (clients); few ones (seeds) are better served by `interval`. Values that are
    all the same have an interval without width.

    Raises:
        ValueError: without values.
    """
    plain = interval(values)
    if plain.n == 1 or plain.std == 0:
        return plain
    import numpy as np
    from scipy.stats import bootstrap

    draws = np.random.Generator(np.random.Philox(key=0))
    result = bootstrap(
        (np.asarray(values),), np.mean, n_resamples=10_000, confidence_level=confidence, method="BCa", rng=draws
    )
    low, high = result.confidence_interval
    return Interval(plain.mean, plain.std, float(low), float(high), plain.n)
