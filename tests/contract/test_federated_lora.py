"""Identities of the federated LoRA family, and numbers that can be followed by hand.

The low-rank toy has two modules with W0 of shapes (3, 4) and (3, 3) and factors of rank 2: A has 2 * 4 + 2 * 3 = 14
numbers, B has 3 * 2 + 3 * 2 = 12. Its function, a vector of 3 numbers, is linear in every module's weight. Four of its
five clients take part in a round.
"""

from __future__ import annotations

import pytest
import torch
from fedgen_bench_plugins.strategies.flexlora import split

from fedgen_bench import LowRank, Model, RoundContext, Update
from fedgen_bench.testing.bits import same_bits
from fedgen_bench.testing.simulation import Simulation
from fedgen_bench.testing.toy_federation import SEEDS
from fedgen_bench.testing.toy_models import LOW_RANK, function_of

A_BYTES, B_BYTES, N_COHORT = 14 * 4, 12 * 4, 4


@pytest.fixture
def simulate(registry):
    return lambda name, **how: Simulation(registry.get("strategy", name).spec, **how)


def booked(simulation, direction):
    """Tensor bytes of every round."""
    return [sum(one.tensor_bytes for one in each.ledger if one.direction == direction) for each in simulation.rounds]


def functions_of_clients(simulation, before):
    """(share, function) of every client's own model after its training; `before` is the model that it began from."""
    updates = simulation.rounds[-1].updates
    total = sum(update.n_examples for update in updates)
    for update in updates:
        model = Model({**before.tensors, **update.tensors}, before.merges)
        yield update.n_examples / total, function_of(simulation.adapted, model)


def as_model(exported):
    return exported if isinstance(exported, Model) else Model(exported)


@pytest.mark.parametrize("name", ["ffa_lora", "rolora", "flora", "fedex_lora"])
def test_exact_method_moves_by_the_mean_of_the_clients_updates(simulate, name):
    simulation = simulate(name)
    for _ in range(4):
        before = as_model(simulation.export())
        simulation.run(1)
        ideal = sum(share * function for share, function in functions_of_clients(simulation, before))
        torch.testing.assert_close(simulation.function(), ideal, rtol=1e-5, atol=1e-6)


def test_average_of_factors_is_not_exact(simulate):
    # fedgen_edge's own spec does not ask for LoRA factors, so hetlora stands in: it averages factors as well.
    simulation = simulate("hetlora").run(1)
    before = as_model(simulation.export())
    simulation.run(1)
    ideal = sum(share * function for share, function in functions_of_clients(simulation, before))
    assert not torch.allclose(simulation.function(), ideal, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "up", "down"),
    [
        ("ffa_lora", [B_BYTES] * 3, [B_BYTES] * 3),
        ("fedsa_lora", [A_BYTES] * 3, [A_BYTES] * 3),
        ("hetlora", [A_BYTES + B_BYTES] * 3, [A_BYTES + B_BYTES] * 3),
        ("flexlora", [A_BYTES + B_BYTES] * 3, [A_BYTES + B_BYTES] * 3),
    ],
)
def test_bytes_per_client_are_those_of_the_method(simulate, name, up, down):
    simulation = simulate(name).run(3)
    assert booked(simulation, "up") == [N_COHORT * one for one in up]
    assert booked(simulation, "down") == [N_COHORT * one for one in down]


def test_flora_sends_every_stack_once_to_everybody(simulate):
    # A round's stack has 4 * 2 ranks: 4 (A + B). Client i misses round i: in round 1 clients 0, 2, 3, 4 get the one
    # stack that there is; in round 2 client 1, which has none, gets two, clients 0, 3 and 4 get one.
    simulation = simulate("flora").run(3)
    stack = N_COHORT * (A_BYTES + B_BYTES)
    assert booked(simulation, "up") == [stack] * 3
    assert booked(simulation, "down") == [0, 4 * stack, 5 * stack]


def test_flora_starts_every_round_anew_and_folds_everything(simulate):
    simulation = simulate("flora").run(2)
    model = simulation.export()
    assert all(not model.tensors[pair.b].any() for pair in LOW_RANK)
    assert [merge[LOW_RANK[0].a].shape for merge in model.merges] == [(8, 4), (8, 4)]


def test_fedex_sends_factors_and_the_residuals_that_a_client_lacks(simulate):
    simulation = simulate("fedex_lora").run(3)
    factors, residual = A_BYTES + B_BYTES, N_COHORT * (A_BYTES + B_BYTES)
    assert booked(simulation, "down") == [4 * factors, 4 * (factors + residual), 4 * factors + 5 * residual]


def test_fedex_of_identical_clients_has_no_residual(simulate):
    simulation = simulate("fedex_lora").run(1)
    same = [Update(simulation.rounds[0].updates[0].tensors, n) for n in (3, 5)]
    context = RoundContext(1, (0, 1), 5, SEEDS, LOW_RANK)
    state = simulation.strategy.aggregate(simulation.state, iter(same), context)
    assert all(not state.merges[-1][pair.b].any() for pair in LOW_RANK)


def test_ffa_never_moves_a(simulate):
    simulation = simulate("ffa_lora").run(3)
    for pair in LOW_RANK:
        assert torch.equal(simulation.export()[pair.a], simulation.start[pair.a])
        assert not torch.equal(simulation.export()[pair.b], simulation.start[pair.b])


def test_fedsa_keeps_b_private_and_a_stranger_has_the_backbone(simulate):
    simulation = simulate("fedsa_lora").run(1)
    assert simulation.export() is None
    assert 0 not in simulation.cohort(0)
    backbone = function_of(simulation.adapted, simulation.start)
    torch.testing.assert_close(simulation.function(0), backbone)
    assert not torch.allclose(simulation.function(1), simulation.function(2))
    assert all(set(update.tensors) == {pair.a for pair in LOW_RANK} for update in simulation.rounds[0].updates)
    assert set(simulation.keeps[1]) == {pair.b for pair in LOW_RANK}


def test_rolora_alternates_and_sends_what_a_client_lacks(simulate):
    # Cohorts: all but client 0, 1, 2. Round 0 trains B; everybody derives the start, nothing is sent down. Round 1
    # trains A: B is new to all four. Round 2 trains B: A is new to clients 0, 1, 3, 4; client 1 missed round 1, so B is
    # new to it as well.
    simulation = simulate("rolora").run(3)
    assert [set(one.updates[0].tensors) for one in simulation.rounds] == [
        {pair.b for pair in LOW_RANK}, {pair.a for pair in LOW_RANK}, {pair.b for pair in LOW_RANK},
    ]  # fmt: skip
    assert booked(simulation, "up") == [N_COHORT * B_BYTES, N_COHORT * A_BYTES, N_COHORT * B_BYTES]
    assert booked(simulation, "down") == [0, N_COHORT * B_BYTES, N_COHORT * A_BYTES + B_BYTES]


def test_rolora_clients_begin_from_the_global_factors(simulate):
    """What a client puts together from its own past and what is sent is the global model."""
    simulation = simulate("rolora")
    for _ in range(6):
        expected = simulation.export()
        seen = {}
        strategy = simulation.strategy

        class Spy:
            def __getattr__(self, name, strategy=strategy):
                return getattr(strategy, name)

            def client(self, payload, ctx, strategy=strategy, seen=seen):
                half = strategy.client(payload, ctx)
                request = next(half)
                seen[ctx.client_id] = request.start
                report = yield request
                try:
                    half.send(report)
                except StopIteration as end:
                    return end.value

        simulation.strategy = Spy()
        simulation.run(1)
        simulation.strategy = strategy
        assert len(seen) == N_COHORT
        assert all(same_bits(start, expected) for start in seen.values())


@pytest.mark.parametrize("name", ["hetlora", "flexlora", "flora"])
def test_mixed_ranks_travel_at_each_clients_rank(simulate, name):
    simulation = simulate(name, client_ranks=(2, 1)).run(2)
    ranks = [len(update.tensors[LOW_RANK[0].a]) for update in simulation.rounds[1].updates]
    assert ranks == [2 if client % 2 == 0 else 1 for client in simulation.cohort(1)]
    assert torch.isfinite(simulation.function()).all()


def test_flora_is_exact_for_mixed_ranks(simulate):
    simulation = simulate("flora", client_ranks=(2, 1)).run(1)
    before = as_model(simulation.export())
    simulation.run(1)
    padded = [(share, function) for share, function in functions_of_clients(simulation, before)]
    torch.testing.assert_close(simulation.function(), sum(s * f for s, f in padded), rtol=1e-5, atol=1e-6)


def test_flexlora_split_is_the_decomposition_followed_by_hand():
    # dW = diag(-3, 1): singular values 3 and 1. Rank 1 keeps 3: A = (1, 0) with its largest entry positive,
    # B = (-3, 0)^T; what is lost is 1 of a norm of sqrt(3^2 + 1^2).
    a, b, lost = split(torch.eye(2), torch.tensor([[-3.0, 0.0], [0.0, 1.0]]), 1)
    torch.testing.assert_close(a, torch.tensor([[1.0, 0.0]]))
    torch.testing.assert_close(b, torch.tensor([[-3.0], [0.0]]))
    assert lost == pytest.approx(1 / 10**0.5)


def test_flexlora_split_loses_nothing_at_full_rank_and_pads_beyond():
    random = torch.Generator().manual_seed(2)
    a, b = torch.randn(3, 7, generator=random), torch.randn(5, 3, generator=random)
    new_a, new_b, lost = split(a, b, 4)
    assert (new_a.shape, new_b.shape) == ((4, 7), (5, 4))
    torch.testing.assert_close(new_b @ new_a, b @ a, rtol=1e-5, atol=1e-5)
    assert lost == 0.0
    assert not new_a[3].any()


def test_flexlora_of_one_client_gives_back_its_function(simulate):
    simulation = simulate("flexlora", shards=[range(8, 31)]).run(1)
    (update,) = simulation.rounds[0].updates
    own = function_of(simulation.adapted, update.tensors)
    torch.testing.assert_close(simulation.function(), own, rtol=1e-5, atol=1e-6)


def test_hetlora_weights_by_the_norm_of_the_product(registry):
    # One module, scale 1. Client 0, rank 2: B A = diag(3, 0), norm 3. Client 1, rank 1: B A = (0, 1)^T (1, 0), norm 1.
    # Weights 3/4 and 1/4, client 1 padded with zeros: A = 3/4 I + 1/4 e1 e1^T, B = 3/4 diag(3, 0) + 1/4 e2 e1^T.
    strategy = registry.get("strategy", "hetlora").spec.build(None)
    updates = [
        Update({"a": torch.eye(2), "b": torch.tensor([[3.0, 0.0], [0.0, 0.0]])}, 1),
        Update({"a": torch.tensor([[1.0, 0.0]]), "b": torch.tensor([[0.0], [1.0]])}, 99),
    ]
    context = RoundContext(0, (0, 1), 2, SEEDS, (LowRank("m", "a", "b", 2, 1.0),))
    state = strategy.aggregate(strategy.init({}, None), iter(updates), context)
    torch.testing.assert_close(state.tensors["a"], torch.tensor([[1.0, 0.0], [0.0, 0.75]]))
    torch.testing.assert_close(state.tensors["b"], torch.tensor([[2.25, 0.0], [0.25, 0.0]]))
