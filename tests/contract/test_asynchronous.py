"""FedBuff and FedAsync: arrivals followed by hand, and what stale updates count."""

import math

import pytest
import torch

from fedgen_bench import RoundContext, ServerContext, Update
from fedgen_bench.testing.simulation import Simulation
from fedgen_bench.testing.toy_federation import SEEDS

HERE = RoundContext(0, (0,), 4, SEEDS)


@pytest.fixture
def begun(registry):
    """A strategy with its first state, whose one tensor is 1."""

    def build(name, **params):
        spec = registry.get("strategy", name).spec
        strategy = spec.build(spec.params(**params))
        return strategy, strategy.init({"w": torch.ones(1)}, ServerContext(4, 2, SEEDS))

    return build


def sent(value, n=1):
    return Update({"w": torch.tensor([value])}, n)


def test_fedbuff_steps_when_its_buffer_is_full_and_stale_updates_count_less(begun):
    strategy, first = begun("fedbuff", buffer_size=2, exponent=0.5, server_learning_rate=0.5)
    # Two fresh updates, 2 and 5, of one example and three: the mean change is (1 + 3 * 4) / 4 = 3.25, half of it 1.625.
    waiting = strategy.absorb(first, first, sent(2.0), HERE)
    assert float(waiting.tensors["w"]) == 1.0
    second = strategy.absorb(waiting, first, sent(5.0, 3), HERE)
    assert float(second.tensors["w"]) == pytest.approx(2.625)
    assert (second.version, second.n_buffered, second.mean) == (1, 0, {})
    # One from the first state, so one step old: 1 -> 3 counts 2 / sqrt(2). From the second: 2.625 -> 3.625 counts 1.
    third = strategy.absorb(strategy.absorb(second, first, sent(3.0), HERE), second, sent(3.625), HERE)
    assert float(third.tensors["w"]) == pytest.approx(2.625 + 0.5 * (math.sqrt(2) + 1) / 2)


def test_fedbuff_waits_for_a_cohort_where_it_is_told_nothing_else(begun):
    _, state = begun("fedbuff")
    assert state.buffer_size == 2


def test_fedbuff_of_fresh_updates_is_fedavg_to_the_bit(registry):
    ours, theirs = (Simulation(registry.get("strategy", name).spec).run(4) for name in ("fedbuff", "fedavg"))
    assert ours.function().equal(theirs.function())


def test_fedasync_mixes_by_staleness(begun):
    strategy, first = begun("fedasync", mixing=0.5, exponent=1.0)
    second = strategy.absorb(first, first, sent(3.0), HERE)  # 1 + 1/2 (3 - 1)
    third = strategy.absorb(second, first, sent(4.0), HERE)  # one mixed in since: 2 + 1/4 (4 - 2)
    assert [float(one.tensors["w"]) for one in (second, third)] == [2.0, 2.5]
    assert third.version == 2


def test_fedasync_holds_its_clients_near_what_they_were_sent(registry):
    spec = registry.get("strategy", "fedasync").spec
    free, held = (Simulation(spec, spec.params(rho=rho)).run(1).function() for rho in (0.0, 5.0))
    start = Simulation(spec).function()
    assert float((held - start).norm()) < float((free - start).norm())


@pytest.mark.parametrize(
    ("name", "params", "said"),
    [
        ("fedbuff", {"buffer_size": 0}, "buffer_size must be at least 1, got 0"),
        ("fedbuff", {"exponent": -1.0}, "exponent must be a finite number of at least 0, got -1.0"),
        ("fedbuff", {"server_learning_rate": 0.0}, "server_learning_rate must be a finite number above 0, got 0.0"),
        ("fedasync", {"mixing": 1.5}, "mixing must be above 0 and at most 1, got 1.5"),
        ("fedasync", {"exponent": math.inf}, "exponent must be a finite number of at least 0, got inf"),
        ("fedasync", {"rho": -0.1}, "rho must be a finite number of at least 0, got -0.1"),
    ],
)
def test_parameters_that_cannot_be_are_refused(registry, name, params, said):
    with pytest.raises(ValueError, match=said.replace(".", r"\.")):
        registry.get("strategy", name).spec.params(**params)
