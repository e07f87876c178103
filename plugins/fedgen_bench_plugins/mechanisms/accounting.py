"""Epsilon of rounds whose cohorts are drawn without replacement, under a Gaussian mechanism: by two accountants."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

from fedgen_bench.authors.mechanisms import Privacy, Sampling

if TYPE_CHECKING:
    import numpy as np

_STEP = 1e-4  # between privacy losses that are told apart, where they are few
_MOST_LOSSES = 50_000  # of one round; twice as many move the sixth digit of epsilon
_TAIL = 12.0  # standard deviations of the noise beyond which nothing is looked at one by one
_ORDERS = (*(1 + x / 10 for x in range(1, 100)), *range(11, 64), 80, 96, 128, 192, 256, 512)
_DIGITS = 4  # of a noise multiplier that is calibrated
_NO_EPSILON = 1e-12  # below, delta alone covers a round's losses
_LEAST_LOG_NOISE, _MOST_LOG_NOISE = -3.0, 8.0


def accounted(sampling: Sampling, noise: float, delta: float) -> Privacy:
    """What rounds guarantee that add Gaussian noise to a sum over a cohort, by privacy losses, checked by RDP.

    Neighbours are two populations of one size that differ in all data of one client (`replace_one`). The sum's
    sensitivity is then twice the bound on one client's part, and `noise` is the standard deviation over that.

    Raises:
        ValueError: delta is too large for this population to mean anything.
        ModuleNotFoundError: dp-accounting is not installed.
    """
    if delta >= 1 / sampling.population:
        raise ValueError(
            f"delta = {delta:g} would allow one of {sampling.population} clients to be given away outright. Choose "
            f"one below {1 / sampling.population:g}."
        )
    epsilon, by_rdp = by_privacy_losses(sampling, noise, delta), by_renyi_divergences(sampling, noise, delta)
    if not epsilon <= by_rdp * (1 + 1e-3):  # both are upper bounds, and this one is the finer
        raise ValueError(
            f"The two accountants contradict each other: epsilon is {epsilon:.4g} by privacy losses, and {by_rdp:.4g} "
            "by RDP. Choose more noise."
        )
    return Privacy(
        unit="client",
        neighbours="replace_one",
        epsilon=epsilon,
        delta=delta,
        accountant="pld",
        cross_check=by_rdp,
        noise_multiplier=noise,
        population=sampling.population,
        sample=sampling.cohort,
        n_steps=sampling.rounds,
    )


@lru_cache(maxsize=256)
def by_privacy_losses(sampling: Sampling, noise: float, delta: float) -> float:
    """Epsilon by the distribution of privacy losses, composed by FFT (arXiv 2207.04380).

    One round's hockey-stick divergence is bounded as for any mechanism under a cohort without replacement (Balle,
    Barthe and Gaboardi, arXiv 1807.01647): with q = cohort / population and a = 1 + (e^eps - 1) / q,
    delta(eps) <= q (Phi(mu/2 - ln(a)/mu) - a Phi(-mu/2 - ln(a)/mu)), mu = 1 / noise. Replacing is symmetric, which
    gives the negative eps: delta(-eps) = 1 - e^-eps + e^-eps delta(eps). The pair of distributions with this profile
    dominates every pair of neighbours, so its composition bounds theirs (arXiv 2106.08567).
    """
    import numpy as np
    from dp_accounting.pld import pld_pmf

    q, mu = sampling.cohort / sampling.population, 1 / noise
    largest = _log1p_of_exp(_TAIL * mu + mu * mu / 2, math.log(q))
    step = max(_STEP, 2 * largest / _MOST_LOSSES)
    n = math.ceil(largest / step)
    profile = _profile(np.arange(-n, n + 1) * step, q, mu)
    one = pld_pmf.create_pmf_pessimistic_connect_dots_fixed_gap(step, -n, n, profile)
    return float(one.self_compose(sampling.rounds).get_epsilon_for_delta(delta))


def _log1p_of_exp(exponent: float, log_factor: float) -> float:
    """ln(1 + factor (e^exponent - 1)), without overflow."""
    if exponent > 30:  # noqa: PLR2004 - e^-30 is nothing beside 1
        return float(max(0.0, exponent + log_factor) + math.log1p(math.exp(-abs(exponent + log_factor))))
    return math.log1p(math.exp(log_factor) * math.expm1(exponent))


def _profile(epsilons: np.ndarray, q: float, mu: float) -> np.ndarray:
    """The delta of every epsilon, shape (n,), of one round; see `by_privacy_losses`."""
    import numpy as np
    from scipy.special import log_ndtr, ndtr

    size = np.abs(epsilons)
    with np.errstate(over="ignore"):
        log_a = np.where(size > 30, size - math.log(q), np.log1p(np.expm1(np.minimum(size, 30)) / q))  # noqa: PLR2004
    above = q * (ndtr(mu / 2 - log_a / mu) - np.exp(log_a + log_ndtr(-mu / 2 - log_a / mu)))
    above = np.clip(above, 0.0, 1.0)
    below = np.clip(-np.expm1(-size) + np.exp(-size) * above, 0.0, 1.0)
    return np.asarray(np.where(epsilons >= 0, above, below))


@lru_cache(maxsize=256)
def by_renyi_divergences(sampling: Sampling, noise: float, delta: float) -> float:
    """Epsilon by Renyi DP of Gaussian noise under a cohort without replacement (arXiv 1808.00087, theorem 27)."""
    import dp_accounting as dp
    from dp_accounting.rdp import RdpAccountant

    accountant = RdpAccountant(orders=_ORDERS, neighboring_relation=dp.NeighboringRelation.REPLACE_ONE)
    one = dp.SampledWithoutReplacementDpEvent(sampling.population, sampling.cohort, dp.GaussianDpEvent(noise))
    return float(accountant.compose(one, sampling.rounds).get_epsilon(delta))


@lru_cache(maxsize=64)
def noise_for(sampling: Sampling, target_epsilon: float, delta: float) -> float:
    """The least noise, in four digits rounded up, whose epsilon by privacy losses is at most the target.

    Raises:
        ValueError: no noise up to some thousand sensitivities reaches it.
        ModuleNotFoundError: dp-accounting is not installed.
    """
    from scipy.optimize import brentq

    def excess(log_noise: float) -> float:
        return math.log(max(by_privacy_losses(sampling, math.exp(log_noise), delta), _NO_EPSILON) / target_epsilon)

    low = high = 0.0
    while excess(high) > 0:
        high += 1
        if high > _MOST_LOG_NOISE:
            raise ValueError(
                f"target_epsilon = {target_epsilon:g} at delta = {delta:g} cannot be reached in {sampling.rounds} "
                f"rounds of {sampling.cohort} of {sampling.population} clients. Ask for a larger epsilon, or ask fewer "
                "clients a round or over fewer rounds."
            )
    while excess(low) <= 0:
        low -= 1
        if low < _LEAST_LOG_NOISE:
            return _rounded_up(math.exp(low))
    noise = _rounded_up(math.exp(brentq(excess, low, high, xtol=1e-5)))
    while by_privacy_losses(sampling, noise, delta) > target_epsilon:
        noise = _rounded_up(noise * (1 + 10.0**-_DIGITS))
    return noise


def _rounded_up(value: float) -> float:
    scale = 10.0 ** (_DIGITS - 1 - math.floor(math.log10(value)))
    return math.ceil(value * scale) / scale
