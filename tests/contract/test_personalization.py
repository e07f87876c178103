"""FedPer and Ditto: rounds followed by hand, and what they have in common with FedAvg and with training alone."""

from __future__ import annotations

import pytest
import torch
from fedgen_bench_plugins.backbones import grounds

from fedgen_bench.testing import adapters
from fedgen_bench.testing.bits import same_bits
from fedgen_bench.testing.simulation import Simulation


def test_fedper_rounds_are_those_followed_by_hand(by_hand, is_close):
    # `left` (two numbers) is personal: four steps on the client's own mean, m + 0.6561 (x - m). `right` is shared, both
    # clients pull it to 0: 2 * 0.6561.
    found = by_hand("fedper", 2, personal=("left",))
    is_close(found.function(0), [3 - 2.5 * 0.6561, -0.6561, 1.3122])
    is_close(found.function(1), [0.5 * 0.6561, 6 - 7 * 0.6561, 1.3122])
    is_close(found.function(), [0.5, -1.0, 1.3122])


def test_fedper_sends_shared_tensors_only(by_hand):
    (one,) = by_hand("fedper", personal=("left",)).rounds
    assert [set(sent) for sent in one.payloads.values()] == [{"right"}] * 2
    assert {entry.tensor_bytes for entry in one.ledger} == {4}


def test_fedper_client_that_was_never_asked_has_the_initial_personal_tensors(registry):
    spec = registry.get("strategy", "fedper").spec
    simulation = Simulation(spec, spec.params(personal=("right",))).run(1)
    assert 0 not in simulation.cohort(0)
    assert same_bits(simulation.export(0), simulation.export())
    assert torch.equal(simulation.export(0)["right"], simulation.start["right"])
    assert not torch.equal(simulation.export(1)["right"], simulation.start["right"])


def test_fedper_with_nothing_personal_is_fedavg_to_the_bit(registry):
    spec = registry.get("strategy", "fedper").spec
    average = Simulation(registry.get("strategy", "fedavg").spec).run(4)
    alike = Simulation(spec, spec.params(**spec.reduces_to["fedavg"])).run(4)
    assert same_bits(alike.export(), average.export())
    other = Simulation(spec, spec.params(personal=("right",))).run(4)
    assert not same_bits(other.export(), average.export())


@pytest.mark.parametrize(
    ("personal", "message"),
    [
        (("right", "lm_head.*"), r"matches `lm_head\.\*`.* among: left, right"),
        (("*ght", "left"), "nothing would be shared"),
    ],
)
def test_fedper_refuses_patterns_that_make_it_another_method(by_hand, personal, message):
    with pytest.raises(ValueError, match=message):
        by_hand("fedper", personal=personal)


def test_fedper_default_is_an_adapters_output_head(registry):
    lora, fedper = registry.get("adapter", "lora").spec, registry.get("strategy", "fedper").spec
    backbone = grounds.LANGUAGE_MODEL.backbone()
    adapted = lora.build(lora.params(targets=("c_attn", "lm_head"))).attach(backbone, adapters.SEEDS)
    state = fedper.build(fedper.params()).init(dict(adapted.trainable), None)
    assert set(state.personal) == {"lm_head.lora_A.weight", "lm_head.lora_B.weight"}
    assert set(state.shared) == adapted.trainable.keys() - state.personal.keys() != set()


def test_ditto_rounds_are_those_followed_by_hand(by_hand, is_close):
    # lambda = 0.5. Round 0, from v = w: v = m + 0.815 (w - m) as for FedProx, client 0: (0.9625, -0.815, 1.63).
    # Round 1, w = (0.785, -0.43, 1.62): one step is v <- 0.85 v + 0.1 m + 0.05 w, two are
    # 0.7225 v + 1.85 (0.1 m + 0.05 w); client 0, m = (3, 0, 0):
    # 0.7225 (0.9625, -0.815, 1.63) + 1.85 (0.33925, -0.0215, 0.081).
    is_close(by_hand("ditto", 1, lam=0.5).function(0), [0.9625, -0.815, 1.63])
    found = by_hand("ditto", 2, lam=0.5)
    is_close(found.function(0), [1.32301875, -0.6286125, 1.327525])


@pytest.mark.parametrize("lam", [0.0, 0.7])
def test_ditto_global_model_is_fedavg_to_the_bit(registry, lam):
    spec = registry.get("strategy", "ditto").spec
    ditto, average = (
        Simulation(spec, spec.params(lam=lam)).run(3),
        Simulation(registry.get("strategy", "fedavg").spec).run(3),
    )
    assert same_bits(ditto.export(), average.export())
    assert not same_bits(ditto.export(1), ditto.export())
    assert [one.ledger for one in ditto.rounds] == [one.ledger for one in average.rounds]


def test_ditto_without_pull_is_training_alone(by_hand):
    # Both start from the initial tensors, and a client's batches are all of its points.
    ditto, alone = by_hand("ditto", 3, lam=0.0), by_hand("local_only", 3)
    for client_id in (0, 1):
        torch.testing.assert_close(ditto.function(client_id), alone.function(client_id), rtol=1e-6, atol=1e-6)
    assert not torch.allclose(by_hand("ditto", 3, lam=0.7).function(0), alone.function(0), rtol=1e-2)


def test_ditto_client_that_was_never_asked_has_the_global_model(registry):
    simulation = Simulation(registry.get("strategy", "ditto").spec).run(1)
    assert 0 not in simulation.cohort(0)
    assert same_bits(simulation.export(0), simulation.export())
