"""Identities of federated methods, and numbers that can be followed by hand on the toy world.

The toy's gradient is w - m with m the mean of the batch; every client below has at most one batch of points, so that
each of its two steps with rate 0.1 sees all of them. All runs start from w = (0.5, -1, 2).
"""

from __future__ import annotations

import pytest
import torch

from fedgen_bench import Fit, Proximal, Update, weighted_mean
from fedgen_bench.contract.data import Examples
from fedgen_bench.federation.batches import FitStreams
from fedgen_bench.federation.trainer import TrainingPlan, fit
from fedgen_bench.testing import toy
from fedgen_bench.testing.bits import same_bits
from fedgen_bench.testing.simulation import Simulation
from fedgen_bench.testing.toy_federation import SEEDS
from fedgen_bench.testing.toy_models import split_module

POINTS = torch.tensor([[2.0, 0.0, 0.0], [4.0, 0.0, 0.0], [0.0, 6.0, 0.0]])
SHARDS = ([0, 1], [2])  # n = 2 with mean (3, 0, 0), and n = 1 with mean (0, 6, 0)


def by_hand(registry, name, **params):
    spec = registry.get("strategy", name).spec
    simulation = Simulation(spec, spec.params(**params), shards=SHARDS)
    simulation.task.points = POINTS
    return simulation.run(1)


def weight_of(tensors):
    return torch.cat([tensors["left"], tensors["right"].flatten()])


@pytest.mark.parametrize("name", ["fedavg", "fedgen_edge"])
def test_fedavg_round_is_the_one_followed_by_hand(registry, name):
    # Two steps: y = m + 0.9^2 (w - m): client 0 (0.975, -0.81, 1.62), client 1 (0.405, 0.33, 1.62); weights 2/3, 1/3.
    exported = by_hand(registry, name).export()
    torch.testing.assert_close(weight_of(exported), torch.tensor([0.785, -0.43, 1.62]), rtol=1e-6, atol=1e-6)


def test_fedprox_round_is_the_one_followed_by_hand(registry):
    # mu = 0.5, d = w - m. Step 1: gradient d (the penalty is 0 at x). Step 2: 0.9 d + 0.5 (-0.1 d) = 0.85 d.
    # y = m + (1 - 0.1 - 0.085) d = m + 0.815 d: (0.9625, -0.815, 1.63) and (0.4075, 0.295, 1.63); weights 2/3, 1/3.
    # Without the square the second step would pull by mu d / |d| instead, without the 1/2 by mu twice.
    exported = by_hand(registry, "fedprox", mu=0.5).export()
    torch.testing.assert_close(weight_of(exported), torch.tensor([0.7775, -0.445, 1.63]), rtol=1e-6, atol=1e-6)


def test_fedprox_without_penalty_is_fedavg_to_the_bit(registry):
    prox = registry.get("strategy", "fedprox").spec
    ours = Simulation(prox, prox.params(mu=0.0)).run(4)
    theirs = Simulation(registry.get("strategy", "fedavg").spec).run(4)
    pulled = Simulation(prox, prox.params(mu=0.1)).run(4)
    assert same_bits(ours.export(), theirs.export())
    assert not same_bits(ours.export(), pulled.export())


def test_fedgen_edge_aggregates_like_fedavg_and_keeps_each_clients_own(registry):
    edge = Simulation(registry.get("strategy", "fedgen_edge").spec).run(2)
    average = Simulation(registry.get("strategy", "fedavg").spec).run(2)
    assert same_bits(edge.export(), average.export())
    last = dict(zip(edge.cohort(1), edge.rounds[1].updates, strict=True))
    for client_id, update in last.items():
        assert same_bits(edge.export(client_id), update.tensors)
    assert not same_bits(edge.export(0), edge.export(2))


def test_fedgen_edge_client_that_was_never_asked_has_the_global_adapter(registry):
    edge = Simulation(registry.get("strategy", "fedgen_edge").spec).run(1)
    assert 0 not in edge.cohort(0)
    assert same_bits(edge.export(0), edge.export())


def test_local_only_sends_nothing_and_has_no_global_model(registry):
    alone = Simulation(registry.get("strategy", "local_only").spec).run(2)
    assert alone.export() is None
    assert all(one.ledger == () for one in alone.rounds)
    assert not same_bits(alone.export(2), alone.start)


def test_local_only_goes_on_from_what_it_kept(registry):
    # Two rounds of two steps on one batch are four steps: y = m + 0.9^4 (w - m), client 1: m = (0, 6, 0).
    spec = registry.get("strategy", "local_only").spec
    simulation = Simulation(spec, shards=SHARDS)
    simulation.task.points = POINTS
    exported = simulation.run(2).export(1)
    golden = torch.tensor([0.5 * 0.6561, 6 - 7 * 0.6561, 2 * 0.6561])
    torch.testing.assert_close(weight_of(exported), golden, rtol=1e-6, atol=1e-6)


def test_fedavg_of_lora_factors_misses_the_ideal_update_by_the_covariance():
    # dW* - s Bbar Abar == s sum_k p_k (B_k - Bbar)(A_k - Abar), with p_k = n_k / sum n.
    random = torch.Generator().manual_seed(1)
    s, sizes = 2.0, (3, 10, 1, 6)
    factors = [
        {
            "A": torch.randn(2, 7, generator=random, dtype=torch.float64),
            "B": torch.randn(5, 2, generator=random, dtype=torch.float64),
        }
        for _ in sizes
    ]
    mean = weighted_mean(Update(one, n) for one, n in zip(factors, sizes, strict=True))
    shares = [n / sum(sizes) for n in sizes]
    ideal = s * sum(p * one["B"] @ one["A"] for p, one in zip(shares, factors, strict=True))
    error = s * sum(p * (one["B"] - mean["B"]) @ (one["A"] - mean["A"]) for p, one in zip(shares, factors, strict=True))
    torch.testing.assert_close(ideal - s * mean["B"] @ mean["A"], error, rtol=1e-12, atol=1e-12)
    assert float(error.norm()) > 1.0


def one_step(request, start=((1.0, 1.0), (1.0,)), **plan):
    """w after one step with rate 0.1 on points whose mean is 0."""
    settings = {"clip_norm": None, "weight_decay": 0.0} | plan
    adapted = split_module(*start)
    task = toy.LoadedToy(toy.Params())
    plan = TrainingPlan(optimizer="sgd", learning_rate=0.1, batch_size=2, local_steps=1, **settings)
    data = Examples({"x": torch.tensor([[1.0, 2.0, 3.0], [-1.0, -2.0, -3.0]])}, 2)
    begin = {name: parameter.detach().clone() for name, parameter in adapted.trainable.items()}
    return weight_of(fit(adapted, task, data, request(begin), plan, FitStreams(SEEDS, 0, 0), 1).tensors)


def pair(x, y, z):
    return {"left": torch.tensor([x, y]), "right": torch.tensor([[z]])}


def test_proximal_pulls_towards_a_given_anchor():
    # g = w + 0.5 (w - a) = (1, 1, 1) + 0.5 (-2, 0, 2) = (0, 1, 2)
    anchor = pair(3.0, 1.0, -1.0)
    moved = one_step(lambda start: Fit(start, penalty=Proximal(0.5, anchor)))
    torch.testing.assert_close(moved, torch.tensor([1.0, 0.9, 0.8]))


def test_proximal_step_is_the_gradient_of_half_mu_the_squared_distance():
    anchor = pair(0.3, -0.2, 4.0)
    moved = one_step(lambda start: Fit(start, penalty=Proximal(0.7, anchor)))
    w = torch.ones(3, requires_grad=True)
    a = weight_of(anchor).requires_grad_()
    (0.5 * (w**2).sum() + 0.7 / 2 * (w - a.detach()).square().sum()).backward()
    torch.testing.assert_close(moved, (w - 0.1 * w.grad).detach())
    assert a.grad is None


def test_correction_is_added_to_the_gradient():
    # SCAFFOLD: y <- y - eta (g + c - c_k); g = (1, 1, 1), c - c_k = (0.5, -1, 2)
    moved = one_step(lambda start: Fit(start, correction=pair(0.5, -1.0, 2.0)))
    torch.testing.assert_close(moved, torch.tensor([0.85, 1.0, 0.7]))


def test_scaffold_control_variate_after_one_step_is_the_clients_gradient():
    # c_k+ = c_k - c + (x - y) / (K eta) with K = 1: (x - y) / eta = g + c - c_k, so c_k+ = g = (1, 1, 1).
    c, c_k = torch.tensor([0.2, 0.3, -0.1]), torch.tensor([-0.3, 1.3, -2.1])
    moved = one_step(lambda start: Fit(start, correction=pair(*(c - c_k).tolist())))
    torch.testing.assert_close(c_k - c + (torch.ones(3) - moved) / 0.1, torch.ones(3), rtol=1e-5, atol=1e-5)


def test_clipping_bounds_the_whole_gradient_penalty_included():
    # g = w = (3, 0, 4) has norm 5; clipped to 1 it is (0.6, 0, 0.8). With mu = 1 and anchor 0 it points the same way.
    for penalty in (None, Proximal(1.0, pair(0.0, 0.0, 0.0))):
        moved = one_step(lambda start, p=penalty: Fit(start, penalty=p), start=((3.0, 0.0), (4.0,)), clip_norm=1.0)
        torch.testing.assert_close(moved, torch.tensor([2.94, 0.0, 3.92]), rtol=1e-5, atol=1e-6)
