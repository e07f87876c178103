"""Epsilon against published values, closed forms and worst pairs of neighbours; calibration; records; refusals."""

from __future__ import annotations

import dataclasses
import math

import dp_accounting as dp
import pytest
from dp_accounting.pld import privacy_loss_distribution
from dp_accounting.rdp import RdpAccountant
from fedgen_bench_plugins.mechanisms import accounting
from fedgen_bench_plugins.mechanisms.accounting import accounted, by_privacy_losses, by_renyi_divergences, noise_for
from fedgen_bench_plugins.mechanisms.client_dp import ClientDP, Params
from scipy.optimize import brentq
from scipy.stats import norm

from fedgen_bench.contract.mechanisms import Sampling

SOME = Sampling(population=100, cohort=10, rounds=30)


@pytest.mark.parametrize(("noise", "epochs", "epsilon"), [(1.3, 15, 1.19), (1.1, 60, 3.01), (0.7, 45, 7.10)])
def test_the_library_gives_the_values_published_with_tensorflow_privacy(noise, epochs, epsilon):
    """Its table for MNIST: 60,000 examples in batches of 256, delta = 1e-5, RDP turned into epsilon as it was then."""
    accountant = RdpAccountant(orders=[1 + x / 10 for x in range(1, 100)] + list(range(12, 64)))
    one = dp.PoissonSampledDpEvent(256 / 60_000, dp.GaussianDpEvent(noise))
    accountant.compose(one, math.ceil(epochs * 60_000 / 256))
    orders, divergences = accountant._orders, accountant._rdp
    found = min(rdp + math.log(1e5) / (order - 1) for order, rdp in zip(orders, divergences, strict=True))
    assert round(found, 2) == epsilon


@pytest.mark.parametrize("rounds", [1, 7])
def test_a_cohort_of_everybody_is_the_gaussian_mechanism(rounds):
    """Closed form (arXiv 1805.06530): delta = Phi(s/2 - eps/s) - e^eps Phi(-s/2 - eps/s), s = sqrt(rounds) / noise."""
    s = math.sqrt(rounds) / 1.5

    def delta(epsilon):
        return norm.cdf(s / 2 - epsilon / s) - math.exp(epsilon) * norm.cdf(-s / 2 - epsilon / s)

    expected = brentq(lambda epsilon: delta(epsilon) - 1e-5, 0, 50)
    assert by_privacy_losses(Sampling(50, 50, rounds), 1.5, 1e-5) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("sampling", "noise", "delta"),
    [(SOME, 0.5, 1e-3), (Sampling(1000, 50, 20), 0.5, 1e-4), (Sampling(24, 8, 12), 2.0, 1e-2)],
)
def test_epsilon_lies_between_that_of_a_pair_of_neighbours_and_rdp(sampling, noise, delta):
    """One client has C where the other has -C and everybody else -C: that pair's epsilon is no bound, but attained."""
    q = sampling.cohort / sampling.population
    pair = privacy_loss_distribution.from_gaussian_mechanism(noise, 1.0, sampling_prob=q)
    attained = pair.self_compose(sampling.rounds).get_epsilon_for_delta(delta)
    epsilon = by_privacy_losses(sampling, noise, delta)
    assert attained <= epsilon <= 1.1 * attained
    assert epsilon <= by_renyi_divergences(sampling, noise, delta) <= 3 * epsilon


def test_one_round_is_the_closed_form_of_subsampling():
    """With q = cohort / population and a = 1 + (e^eps - 1) / q (arXiv 1807.01647): delta = q delta_Gauss(ln a)."""
    noise, q = 0.8, 0.2

    def delta(epsilon):
        log_a = math.log1p(math.expm1(epsilon) / q)
        return q * (norm.cdf(0.5 / noise - log_a * noise) - math.exp(log_a) * norm.cdf(-0.5 / noise - log_a * noise))

    expected = brentq(lambda epsilon: delta(epsilon) - 1e-4, 0, 50)
    assert by_privacy_losses(Sampling(10, 2, 1), noise, 1e-4) == pytest.approx(expected, rel=1e-4)


def test_figures_of_one_federation():
    """Made with this version, to be told when another gives other tables: 10 of 100 clients, 30 rounds, z = 2."""
    found = ClientDP(Params(noise_multiplier=2.0, delta=1e-3)).account(SOME)
    assert (found.noise_multiplier, found.neighbours, found.accountant) == (1.0, "replace_one", "pld")
    assert (found.epsilon, found.cross_check) == (pytest.approx(2.80974, rel=1e-4), pytest.approx(5.27472, rel=1e-4))


def test_replacing_a_client_costs_what_twice_the_bound_does():
    one = ClientDP(Params(clip_norm=3.0, noise_multiplier=1.0)).account(Sampling(20, 20, 1))
    s = 2.0  # 2 C over a noise of C
    delta = norm.cdf(s / 2 - one.epsilon / s) - math.exp(one.epsilon) * norm.cdf(-s / 2 - one.epsilon / s)
    assert delta == pytest.approx(1e-5, rel=1e-2)


def test_adaptive_clipping_costs_as_much_as_fixed():
    plain, adaptive = Params(noise_multiplier=0.8), Params(noise_multiplier=0.8, quantile=0.5, bit_noise=1.0)
    assert ClientDP(plain).account(SOME) == ClientDP(adaptive).account(SOME)
    z_d, s_b = ClientDP(adaptive)._of_sum(SOME), 1.0
    # Replacing a client moves the sum by 2 C and the count of bits by 1.
    assert math.hypot(2 / z_d, 1 / s_b) == pytest.approx(2 / 0.8)


def test_calibrated_noise_keeps_the_target_and_little_less_would_not():
    noise = noise_for(SOME, 2.0, 1e-3)
    assert by_privacy_losses(SOME, noise, 1e-3) <= 2.0 < by_privacy_losses(SOME, noise * 0.998, 1e-3)
    assert noise == float(f"{noise:.4g}")
    found = ClientDP(Params(target_epsilon=2.0, delta=1e-3)).account(SOME)
    assert (found.noise_multiplier, found.epsilon <= 2.0) == (noise, True)


def test_without_noise_nothing_is_guaranteed():
    assert ClientDP(Params(noise_multiplier=0.0)).account(SOME) is None


def test_accountants_that_contradict_each_other_are_told(monkeypatch):
    monkeypatch.setattr(accounting, "by_renyi_divergences", lambda *_: 0.1)
    with pytest.raises(ValueError, match="The two accountants contradict each other"):
        accounted(dataclasses.replace(SOME, rounds=29), 1.0, 1e-3)


def test_a_delta_that_gives_a_client_away_is_refused():
    with pytest.raises(ValueError, match=r"delta = 0.01 would allow one of 100 clients to be given away outright"):
        accounted(SOME, 1.0, 0.01)
