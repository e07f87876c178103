"""Contract tests simulate what runs: compressors, attacks and the gate have the effect that they have in a run."""

# ruff: noqa: ARG002 - protocols name what these pieces do not use
from __future__ import annotations

import pytest
from fedgen_bench_plugins.compressors.topk import Params, TopK

from fedgen_bench.base.errors import WireError
from fedgen_bench.federation.compression import Chain, Uplink
from fedgen_bench.federation.link import Link
from fedgen_bench.federation.round import Round
from fedgen_bench.federation.wire import tensor_bytes
from fedgen_bench.testing.bits import same_bits
from fedgen_bench.testing.simulation import Simulation

TOP_HALF = Link(uplink=Uplink(Chain((TopK(Params(0.5, error_feedback=True)),))))


class Blow:
    """Tells a number that no client can have learnt."""

    def distort(self, tensors, received, generator):
        return {name: tensor + 1e6 for name, tensor in tensors.items()}


@pytest.fixture
def fedavg(registry):
    return registry.get("strategy", "fedavg").spec


def test_simulated_clients_send_what_compressors_leave_and_owe_the_rest(fedavg):
    plain, compressed = Simulation(fedavg).run(1), Simulation(fedavg, link=TOP_HALF).run(1)
    up, less = (
        sum(one.tensor_bytes for one in simulation.rounds[0].ledger if one.direction == "up")
        for simulation in (plain, compressed)
    )
    assert up == sum(tensor_bytes(one.tensors) for one in plain.rounds[0].updates)
    assert less > up / 2  # places of what is left travel with it
    assert all(set(keep) == {"#residual/left", "#residual/right"} for keep in compressed.keeps.values())
    assert not same_bits(plain.exported(), compressed.exported())


def test_compressed_simulation_survives_a_checkpoint(fedavg):
    ours, theirs = (Simulation(fedavg, link=TOP_HALF, codec=codec).run() for codec in (False, True))
    assert all(same_bits(a, b) for a, b in zip(ours.outcome(), theirs.outcome(), strict=True))


def test_simulated_gate_quarantines_an_attacker_and_keeps_its_round_out(fedavg):
    hostile = Simulation(
        fedavg, link=Link(max_update_norm=100.0), attack=Blow(), attackers=frozenset({1}), quarantine=True
    ).run(2)
    assert [(one.client_id, one.code) for one in hostile.rounds[0].quarantined] == [(1, "norm")]
    assert len(hostile.rounds[0].updates) == len(hostile.cohort(0)) - 1
    assert len(hostile.rounds[0].ledger) == 2 * len(hostile.cohort(0))
    assert 1 not in hostile.admitted


def test_what_the_gate_refuses_of_an_honest_simulation_is_raised(fedavg):
    with pytest.raises(WireError, match="The norm of the change is"):
        Simulation(fedavg, link=Link(max_update_norm=1e-9)).run(1)


def test_simulation_is_rounds_that_run(fedavg):
    simulation = Simulation(fedavg)
    simulation.strategy = simulation.instance

    class Engine:
        def run(self, tasks, work):
            return map(work.run, tasks)

    state = Round(
        experiment=simulation,
        index=0,
        state=simulation.state,
        work=simulation.work,
        engine=Engine(),
        keep=lambda _: {},
        admitted_in={},
    ).aggregate()
    assert same_bits(state.tensors, Simulation(fedavg).run(1).state.tensors)
