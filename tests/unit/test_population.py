"""Who holds what and who is asked: the published digests, and nothing that grows with clients that nobody asks."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from fedgen_bench.base.errors import PluginError
from fedgen_bench.contract.data import ClientData, Examples, Holdings, Parts, UnitTable
from fedgen_bench.contract.seeds import SeedTree, digest
from fedgen_bench.federation.client_evaluation import evaluated_clients
from fedgen_bench.federation.population import make_population
from fedgen_bench.suite.schema import Federation
from fedgen_bench.testing import toy

SEEDS = SeedTree("task", "adapter", "partitioner", "strategy", 1)
BY_HAND = [np.array([4, 1]), np.array([], np.int64), np.array([0, 2, 3])]


@dataclass(frozen=True)
class Dealt:
    """A partitioner whose split is known."""

    parts: object

    def split(self, *_):
        return self.parts


class Preparing:
    """A task that can only prepare; `asked` has the sizes of those that it was asked for."""

    def __init__(self, n_units=60):
        self.toy, self.asked = toy.LoadedToy(toy.Params(n_units=n_units)), []

    def units(self, seeds):
        return self.toy.units(seeds)

    def client_data(self, units):
        self.asked.append(len(units))
        return self.toy.client_data(units)


class Counted(Preparing):
    """The same, and it counts."""

    def holdings(self, parts):
        return self.toy.holdings(parts)


def population_of(task, parts, *, n_clients=None, per_round=1, rounds=2):
    n_clients = len(parts) if n_clients is None else n_clients
    federation = Federation(n_clients=n_clients, clients_per_round=per_round, rounds=rounds)
    return make_population(task, Dealt(parts), federation, SEEDS)


def test_parts_are_the_arrays_that_they_were_made_from():
    joined = Parts.joined(BY_HAND)
    assert [part.tolist() for part in joined] == [[4, 1], [], [0, 2, 3]]
    assert [part.tolist() for part in joined[1:]] == [[], [0, 2, 3]]
    assert joined[-1].tolist() == [0, 2, 3]
    assert joined.sizes.tolist() == [2, 0, 3]
    assert Parts.joined(joined) is joined
    with pytest.raises(IndexError):
        joined[3]


def test_parts_by_owner_are_in_natural_order_without_what_nobody_holds():
    assert [part.tolist() for part in Parts.by_owner(np.array([2, -1, 0, 2, 0, -1]), 4)] == [[2, 4], [], [0, 3], []]


@pytest.mark.parametrize("offsets", [[], [0, 2], [1, 3], [0, 2, 1, 3]])
def test_parts_need_offsets_that_cut_their_units(offsets):
    with pytest.raises(ValueError, match="ascend from 0 to the number of units, 3"):
        Parts(np.arange(3), np.array(offsets))


def test_parts_are_whole_numbers_of_any_kind_that_nobody_writes_into():
    own = np.arange(3)
    made = Parts(own, np.array([0.0, 2.0, 3.0]))
    assert (made.units.dtype, made.offsets.dtype) == (np.int64, np.int64)
    assert [part.tolist() for part in made] == [[0, 1], [2]]
    with pytest.raises(ValueError, match="read-only"):
        made[0][0] = 7
    own[0] = 7  # stays its maker's
    assert [part.tolist() for part in Parts.joined([np.array([1, 0], np.uint8), [], np.array([2.0])])] == [
        [1, 0],
        [],
        [2],
    ]


@pytest.mark.parametrize("wrong", [[0.5], [float("nan")], ["a"], [True], [None]])
def test_what_is_no_index_is_refused(wrong):
    for make in (lambda: Parts.joined([wrong]), lambda: Parts(np.array(wrong), np.array([0, 1]))):
        with pytest.raises(ValueError, match="whole numbers"):
            make()


@pytest.mark.parametrize("parts", [BY_HAND, tuple(BY_HAND), Parts.joined(BY_HAND), [one.tolist() for one in BY_HAND]])
def test_digests_are_those_of_the_arrays_and_of_all_cohorts(parts):
    population = population_of(Counted(), parts, per_round=2, rounds=3)
    expected = hashlib.sha256()  # written out: each array's bytes behind their number, eight bytes of it
    for part in BY_HAND:
        expected.update(len(part.astype("<i8").tobytes()).to_bytes(8, "little") + part.astype("<i8").tobytes())
    assert population.partition_digest == expected.hexdigest()
    drawn = [
        sorted(int(i) for i in SEEDS.numpy("cohort", round_index=r).choice([0, 2], size=2, replace=False))
        for r in range(3)
    ]
    assert [list(cohort) for cohort in population.cohorts()] == drawn
    assert population.schedule_digest == digest(json.dumps(drawn))


@pytest.mark.parametrize(
    "parts",
    [
        [np.array([0, 1]), np.array([1])], [np.array([0]), np.array([60])], [np.array([-1]), np.array([1])],
        [np.array([0])], [np.array([0]), np.array([1]), np.array([2])],
    ],
)  # fmt: skip
def test_a_partition_that_is_none_is_refused(parts):
    with pytest.raises(PluginError, match="must give 2 disjoint arrays of unit indices below 60"):
        population_of(Counted(), parts, n_clients=2)


def test_a_part_that_is_not_flat_is_refused():
    with pytest.raises(ValueError, match="one flat array"):
        population_of(Counted(), [np.array([[0, 1]]), np.array([2])])


def test_a_task_that_counts_prepares_nobody_who_is_not_asked():
    counting, preparing = Counted(), Preparing()
    mine, theirs = population_of(counting, BY_HAND), population_of(preparing, BY_HAND)
    assert counting.asked == []
    assert preparing.asked == [2, 3]
    assert mine.eligible.tolist() == theirs.eligible.tolist() == [0, 2]
    assert [mine.n_train(i) for i in range(3)] == [theirs.n_train(i) for i in range(3)] == [1, 0, 2]
    assert mine.client(2).train.n == 2
    assert counting.asked == [3]
    mine.client(2), theirs.client(2)
    assert (counting.asked, preparing.asked) == ([3], [2, 3])


@pytest.mark.parametrize(
    ("counted", "message"),
    [
        (Holdings(np.ones(2, np.int64), np.ones(2, bool)), r"holdings must give .* of shape \(3,\)"),
        (Holdings(np.array([1, 0, 3]), np.ones(3, bool)), "gives client 2 2 training examples; `holdings` counts 3"),
        (Holdings(np.array([1, 0, 2]), np.zeros(3, bool)), "differ in whether client 2 holds data out"),
        (Holdings(np.array([1, 0, 2.5]), np.ones(3, bool)), "whole numbers from 0 on"),
        (Holdings(np.array([1, -1, 2]), np.ones(3, bool)), "whole numbers from 0 on"),
    ],
)
def test_a_task_that_counts_wrongly_is_told(counted, message, monkeypatch):
    monkeypatch.setattr(Counted, "holdings", lambda *_: counted)
    with pytest.raises(PluginError, match=message):
        population_of(Counted(), BY_HAND).client(2)


def test_a_count_in_lists_is_taken_as_well(monkeypatch):
    monkeypatch.setattr(Counted, "holdings", lambda *_: Holdings([1, 0, 2], [1, 0, 1]))
    population = population_of(Counted(), BY_HAND)
    assert (population.eligible.tolist(), population.n_pooled) == ([0, 2], 3)
    assert population.client(2).train.n == 2


def test_too_few_clients_with_data_are_refused():
    with pytest.raises(PluginError, match="Only 2 clients hold training data; 3 are asked"):
        population_of(Counted(), BY_HAND, per_round=3)


def test_what_a_partitioner_refuses_is_told_as_its_own():
    class Refusing:
        def split(self, units, *_):
            return units.column("district")

    federation = Federation(n_clients=2, clients_per_round=1, rounds=1)
    with pytest.raises(PluginError, match=r"^The partitioner cannot split these data: These units have no column `dis"):
        make_population(Counted(), Refusing(), federation, SEEDS)


def test_pooled_examples_are_those_of_all_clients_in_their_order():
    population = population_of(Counted(), BY_HAND)
    points = population.task.toy.points
    assert torch.equal(population.pooled.tensors["x"], points[[4, 0, 2]])
    assert population.pooled.n == population.n_pooled == 3


def test_clients_are_evaluated_from_the_count_as_from_the_data(toy_experiment, monkeypatch):
    counted = evaluated_clients(toy_experiment("fedavg", "federation.n_clients=40"))
    monkeypatch.delattr(toy.LoadedToy, "holdings")
    assert evaluated_clients(toy_experiment("fedavg", "federation.n_clients=40")) == counted


def test_what_a_client_prepares_does_not_change_the_partition():
    class Greedy(Counted):
        def client_data(self, units):
            units.sort()
            return ClientData(Examples({}, len(units) - (len(units) > 1)), units if len(units) > 1 else None)

    population = population_of(Greedy(), [one.copy() for one in BY_HAND])
    population.client(0)
    assert population.parts[0].tolist() == [4, 1]


class Large:
    """Units of ten labels; a client's data are its unit indices."""

    n_units = 200_000

    def units(self, _):
        return UnitTable(self.n_units, {"label": np.arange(self.n_units) % 10})

    def client_data(self, units):
        return ClientData(Examples({"x": torch.from_numpy(units)}, len(units)), None)

    def holdings(self, parts):
        return Holdings(parts.sizes, np.zeros(len(parts), bool))


@pytest.mark.parametrize("name", ["dirichlet", "iid"])
def test_a_round_of_many_clients_costs_what_it_costs_of_few(registry, name):
    spec = registry.get("partitioner", name).spec
    federation = Federation(n_clients=100_000, clients_per_round=100, rounds=10**6)
    population = make_population(Large(), spec.build(spec.params()), federation, SEEDS)
    tracemalloc.start()
    for round_index in (0, 1, 999_999):
        cohort = population.cohort(round_index)
        assert [population.client(i).train.n for i in cohort] == [2] * 100
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * federation.n_clients  # an entry for each client, or for each round, takes more
