"""Adapters of one's own beside the federated one: FedGen-Edge interpolated and FedDPA, in numbers and identities."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fedgen_bench_baselines.fedavg import FedAvg, State

from fedgen_bench import ClientContext, LowRank, Payload, ServerContext, StrategySpec, truncated
from fedgen_bench.testing.bits import same_bits
from fedgen_bench.testing.simulation import Simulation
from fedgen_bench.testing.toy_federation import SEEDS
from fedgen_bench.testing.toy_models import LOW_RANK, function_of

A, B = "m.lora_A.weight", "m.lora_B.weight"
PAIR = LowRank("m", A, B, 3, 2.0)
START = {A: torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), B: torch.zeros(1, 3)}
SHARED = {A: torch.tensor([[1.0, 1.0], [2.0, 2.0]]), B: torch.tensor([[0.5, 0.25]])}
OWN = {A: torch.tensor([[7.0, 8.0]]), B: torch.tensor([[9.0]])}


@pytest.fixture
def simulate(registry):
    def run(name, n_rounds, how=None, **params):
        spec = registry.get("strategy", name).spec
        return Simulation(spec, spec.params(**params), **(how or {})).run(n_rounds)

    return run


def test_interpolated_client_is_between_the_global_adapter_and_its_own_as_followed_by_hand(by_hand, is_close):
    # Round 0 as FedAvg's: client 0 keeps (0.975, -0.81, 1.62), client 1 (0.405, 0.33, 1.62), w = (0.785, -0.43, 1.62).
    # A quarter of the kept one: 0.785 + 0.25 (0.975 - 0.785), -0.43 + 0.25 (-0.81 + 0.43), 1.62.
    found = by_hand("fedgen_edge_interpolated", share=0.25)
    is_close(found.function(), [0.785, -0.43, 1.62])
    is_close(found.function(0), [0.8325, -0.525, 1.62])
    is_close(found.function(1), [0.69, -0.24, 1.62])


def test_interpolation_changes_neither_training_nor_what_travels(simulate):
    ours, edge = simulate("fedgen_edge_interpolated", 3), simulate("fedgen_edge", 3)
    assert same_bits(ours.export(), edge.export())
    assert [one.ledger for one in ours.rounds] == [one.ledger for one in edge.rounds]
    assert all(same_bits(ours.keeps[i], edge.keeps[i]) for i in edge.keeps)
    assert not same_bits(ours.export(0), edge.export(0))


@pytest.mark.parametrize("how", [{}, {"low_rank": True}], ids=["tensors", "factors"])
def test_whole_share_is_fedgen_edge_and_none_is_fedavg_for_every_client(simulate, how):
    whole, none = (simulate("fedgen_edge_interpolated", 3, how, share=share) for share in (1.0, 0.0))
    edge, average = simulate("fedgen_edge", 3, how), simulate("fedavg", 3, how)
    for client in (None, *range(edge.n_clients)):
        torch.testing.assert_close(whole.function(client), edge.function(client), rtol=0, atol=0)
        torch.testing.assert_close(none.function(client), average.function(client), rtol=0, atol=0)


def test_interpolated_factors_miss_the_mixture_of_updates_by_the_term_that_is_told(simulate):
    share = 0.25
    found = simulate("fedgen_edge_interpolated", 2, {"low_rank": True}, share=share)
    w, own, mixed = found.export(), found.keeps[0], found.export(0)
    for pair in LOW_RANK:
        (a_w, b_w), (a_k, b_k) = ((one[pair.a], one[pair.b]) for one in (w, own))
        missed = share * (1 - share) * (b_k - b_w) @ (a_k - a_w)
        wanted = (1 - share) * b_w @ a_w + share * b_k @ a_k - missed
        torch.testing.assert_close(mixed[pair.b] @ mixed[pair.a], wanted)
        assert missed.norm() < 0.1 * wanted.norm()


def test_interpolated_client_that_was_never_asked_has_the_global_adapter(simulate):
    found = simulate("fedgen_edge_interpolated", 1)
    assert 0 not in found.cohort(0)
    assert same_bits(found.export(0), found.export())


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_interpolation_beyond_the_two_is_refused(registry, share):
    with pytest.raises(ValueError, match="share must be from 0 to 1, got"):
        registry.get("strategy", "fedgen_edge_interpolated").spec.params(share=share)


def feddpa(registry, **params):
    spec = registry.get("strategy", "feddpa").spec
    return spec.build(spec.params(**params))


def context(keep, pair=PAIR, start=START):
    return ClientContext(2, 0, 2, 5, start, keep, 4, 0.1, SEEDS, low_rank=(pair,))


def test_feddpa_shares_the_first_ranks_and_a_client_has_its_own_behind_them(registry):
    strategy = feddpa(registry, local_rank=1)
    state = strategy.init(START, ServerContext(2, 2, SEEDS, (PAIR,)))
    assert same_bits(state.tensors, {A: START[A][:2], B: START[B][:, :2]})
    assert same_bits(strategy.send(state, context({})).tensors, state.tensors)
    state = replace(state, tensors=SHARED)
    whole = strategy.export(state, context(OWN))
    assert whole[A].tolist() == [[1, 1], [2, 2], [7, 8]]
    assert whole[B].tolist() == [[0.5, 0.25, 9]]
    assert same_bits(strategy.export(state, None), SHARED)
    stranger = strategy.export(state, context({}))
    assert stranger[A].tolist() == [[1, 1], [2, 2], [5, 6]]
    assert stranger[B].tolist() == [[0.5, 0.25, 0]]


@pytest.mark.parametrize("keep", [OWN, {}], ids=["kept", "first time"])
def test_feddpa_trains_both_parts_one_without_the_other_and_one_on_top_of_what_was_received(registry, keep):
    strategy = feddpa(registry)
    half = strategy.client(Payload(SHARED), context(keep))
    together = next(half)
    assert same_bits(together.start, SHARED)
    assert together.merges == ()
    own = half.send(_report(together, 1.0))
    assert same_bits(own.start, keep or {A: START[A][2:], B: START[B][:, 2:]})
    (below,) = own.merges
    assert same_bits(below, {A: SHARED[A], B: 2.0 * SHARED[B]})
    with pytest.raises(StopIteration) as end:
        half.send(_report(own, 2.0))
    assert same_bits(end.value.value.tensors, {name: one + 1 for name, one in SHARED.items()})
    assert same_bits(end.value.value.keep, {name: one + 2 for name, one in own.start.items()})
    later = strategy.personalize(State(SHARED), context(keep))
    assert same_bits(later.start, own.start)
    assert same_bits(later.merges[0], below)


def _report(request, added):
    from fedgen_bench import FitReport

    return FitReport({name: one + added for name, one in request.start.items()}, 5, 4, 0.0, "")


def test_feddpa_round_is_the_one_followed_by_hand(simulate):
    # One step of one client from B = 0, rate 0.1. The toy's gradient by its weight w is w - m, so a rank's column of
    # B moves by -0.1 s (w - m) (a u), with a its row of A and u the module's input; A stays. In round 0 that is so for
    # federated and local ranks alike: what is received adds nothing yet.
    how = {"shards": [range(4)], "n_steps": 1}
    found = simulate("feddpa", 1, how)
    m, w0 = found.task.points[:4].mean(dim=0), function_of(found.adapted, found.start)
    own = found.export(0)
    for pair, n_in in zip(LOW_RANK, (4, 3), strict=True):
        u = torch.linspace(0.2, 0.5, n_in)
        wanted = -0.1 * pair.scale * torch.outer(w0 - m, found.start[pair.a] @ u)
        torch.testing.assert_close(own[pair.b], wanted)
        assert torch.equal(own[pair.a], found.start[pair.a])
    # In round 1 the local column starts where it is and sees the received ranks' weight w = W0 + s B a u, and its own.
    received, kept = found.export(), found.keeps[0]
    w = function_of(found.adapted, found.export(0))
    found.run(1)
    for pair, n_in in zip(LOW_RANK, (4, 3), strict=True):
        u = torch.linspace(0.2, 0.5, n_in)
        wanted = kept[pair.b] - 0.1 * pair.scale * torch.outer(w - m, kept[pair.a] @ u)
        torch.testing.assert_close(found.keeps[0][pair.b], wanted)
    assert not same_bits(received, found.export())


def test_feddpa_global_model_is_fedavg_of_the_shared_ranks_to_the_bit(simulate):
    class Narrow(FedAvg):
        def init(self, start, ctx):
            return State(truncated(start, [replace(pair, rank=1) for pair in ctx.low_rank]))

    found = simulate("feddpa", 4)
    alone = Simulation(StrategySpec(name="narrow", summary="", build=Narrow, low_rank=True)).run(4)
    assert same_bits(found.export(), alone.export())
    assert [one.ledger for one in found.rounds] == [one.ledger for one in alone.rounds]
    (half, whole) = (sum(one[name].nbytes for name in found.start) for one in (found.export(), found.start))
    assert 2 * half == whole
    assert {entry.tensor_bytes for one in found.rounds for entry in one.ledger} == {half}


def test_feddpa_client_is_the_global_model_and_its_own_part(simulate):
    found = simulate("feddpa", 3)
    for client in range(found.n_clients):
        own = function_of(found.adapted, found.keeps[client]) - function_of(found.adapted, found.start)
        torch.testing.assert_close(found.function(client), found.function() + own)
        assert own.norm() > 0.01


def test_feddpa_client_that_was_never_asked_has_the_global_model(simulate):
    found = simulate("feddpa", 1)
    assert 0 not in found.cohort(0)
    torch.testing.assert_close(found.function(0), found.function())
    assert not torch.allclose(found.function(1), found.function())


def test_feddpa_of_one_client_goes_on_with_both_parts(simulate):
    found = simulate("feddpa", 3, {"shards": [range(8)]})
    assert not torch.allclose(found.function(0), found.function())


@pytest.mark.parametrize("local_rank", [0, -1])
def test_feddpa_without_a_local_part_is_refused(registry, local_rank):
    with pytest.raises(ValueError, match="local_rank must be at least 1, got"):
        registry.get("strategy", "feddpa").spec.params(local_rank=local_rank)


@pytest.mark.parametrize("local_rank", [2, 5])
def test_feddpa_with_nothing_left_to_share_is_refused_and_names_the_module(simulate, local_rank):
    with pytest.raises(
        ValueError, match=r"leaves nothing to share of `first`, whose LoRA has rank 2\. Give the adapter"
    ):
        simulate("feddpa", 0, local_rank=local_rank)
