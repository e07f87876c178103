"""One seed's clients: who holds which units of the task's data, and who is asked in which round."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from fedgen_bench.base.errors import PluginError
from fedgen_bench.base.guards import guarded
from fedgen_bench.base.spans import span
from fedgen_bench.contract.data import ClientData, Examples, Holdings, Parts
from fedgen_bench.contract.protocols import Counting, HoldingOut, Planting
from fedgen_bench.contract.seeds import SeedTree, digest
from fedgen_bench.suite.sizes import need_memory

if TYPE_CHECKING:
    from fedgen_bench.contract.protocols import Task
    from fedgen_bench.suite.schema import Federation

POOLED_CLIENT = 0
_PREPARED_CLIENTS = 1024  # whose data are kept once prepared: all of a small population, a few cohorts of a large one


@dataclass(frozen=True)
class Population:
    """One seed's clients. A client's data are prepared when first asked for, a round's cohort is drawn when it begins.

    Args:
        parts: each client's units.
        federation: how many are asked, in how many rounds.
        seeds: of the cohorts' streams.
    """

    task: Task
    parts: Parts
    federation: Federation
    seeds: SeedTree

    @cached_property
    def partition_digest(self) -> str:
        """Hex sha256 of every client's unit indices, each array behind its length in bytes."""
        sizes = self.parts.sizes
        stream = np.empty(len(self.parts.units) + len(sizes), "<i8")
        heads = self.parts.offsets[:-1] + np.arange(len(sizes))
        stream[heads] = sizes * stream.itemsize
        held = np.ones(len(stream), dtype=bool)
        held[heads] = False
        stream[held] = self.parts.units
        return hashlib.sha256(stream.data).hexdigest()

    @cached_property
    def schedule_digest(self) -> str:
        """Hex sha256 of all cohorts."""
        return digest(b"[%s]" % b", ".join(json.dumps(cohort).encode() for cohort in self.cohorts()))

    def cohorts(self) -> Iterator[tuple[int, ...]]:
        """Who is asked, round by round."""
        return map(self.cohort, range(self.federation.rounds))

    def cohort(self, round_index: int) -> tuple[int, ...]:
        """Client ids of a round, ascending."""
        return self._cohorts(round_index)

    @cached_property
    def _cohorts(self) -> Callable[[int], tuple[int, ...]]:
        def drawn(round_index: int) -> tuple[int, ...]:
            rng = self.seeds.numpy("cohort", round_index=round_index)
            chosen = rng.choice(self.eligible, size=self.federation.clients_per_round, replace=False)
            return tuple(np.sort(chosen).tolist())

        return lru_cache(maxsize=2)(drawn)  # asynchronous rounds look ahead

    def client(self, client_id: int) -> ClientData:
        """The client's data."""
        return self._clients(client_id)

    @cached_property
    def _clients(self) -> Callable[[int], ClientData]:
        counts = isinstance(self.task, Counting)

        def prepared(client_id: int) -> ClientData:
            what = f"{type(self.task).__name__}.client_data"
            with span("prepare", client_id), guarded(what):
                data = self.task.client_data(self.parts[client_id].copy())
            if counts and data.train.n != self.n_train(client_id):
                raise PluginError(
                    f"{what} gives client {client_id} {data.train.n} training examples; `holdings` counts "
                    f"{self.n_train(client_id)}. Mend either."
                )
            if counts and self.holdings.has_heldout[client_id] != (data.heldout is not None):
                raise PluginError(
                    f"{what} and `holdings` differ in whether client {client_id} holds data out. Mend either."
                )
            return data

        return lru_cache(maxsize=_PREPARED_CLIENTS)(prepared)

    @cached_property
    def holdings(self) -> Holdings:
        """What clients hold, counted by the task where it can, else by preparing one after the other.

        Raises:
            PluginError: the task does not count all clients.
        """
        n_clients = len(self.parts)
        if not isinstance(self.task, Counting):
            n_train, has_heldout = np.zeros(n_clients, np.int64), np.zeros(n_clients, dtype=bool)
            for client_id in np.flatnonzero(self.parts.sizes).tolist():
                data = self.client(client_id)
                n_train[client_id], has_heldout[client_id] = data.train.n, data.heldout is not None
            return Holdings(n_train, has_heldout)
        what = f"{type(self.task).__name__}.holdings"
        with guarded(what):
            counted = self.task.holdings(self.parts)
            held = Holdings(np.asarray(counted.n_train), np.asarray(counted.has_heldout, dtype=bool))
        if {held.n_train.shape, held.has_heldout.shape} != {(n_clients,)}:
            raise PluginError(f"{what} must give `n_train` and `has_heldout` of shape ({n_clients},).")
        if held.n_train.dtype.kind not in "iu" or held.n_train.min(initial=0) < 0:
            raise PluginError(f"{what} must give `n_train` as whole numbers from 0 on.")
        return held

    def n_train(self, client_id: int) -> int:
        """Training examples that the client holds."""
        return int(self.holdings.n_train[client_id])

    @cached_property
    def eligible(self) -> np.ndarray:
        """Ids of the clients with training examples, ascending."""
        return np.flatnonzero(self.holdings.n_train)

    @property
    def n_pooled(self) -> int:
        """Everybody's training examples."""
        return int(self.holdings.n_train.sum())

    def most_held(self, cohort_kind: str) -> int:
        """Training examples of whoever has most of them, in a cell of this kind."""
        return self.n_pooled if cohort_kind == "pooled" else int(self.holdings.n_train.max())

    @cached_property
    def pooled(self) -> Examples:
        """Everybody's training examples in one place, in the order of clients."""
        whole = {
            name: tensor.new_empty((self.n_pooled, *tensor.shape[1:]))
            for name, tensor in self.client(int(self.eligible[0])).train.tensors.items()
        }
        at = 0
        for client_id in self.eligible.tolist():
            own = self.client(client_id).train
            for name, tensor in whole.items():
                tensor[at : at + own.n] = own.tensors[name]
            at += own.n
        return Examples(whole, at)


def make_population(
    task: Task, partitioner: Any, federation: Federation, seeds: SeedTree, *, training_parts: bool = False
) -> Population:
    """Split the task's units, from their own stream; secrets that it plants stand in them afterwards.

    Clients without training examples are never asked. With `training_parts` a client has what it would train on alone,
    so that what it holds out is a slice of that.

    Raises:
        PluginError: the partitioner refuses, or its partition is not disjoint, is out of range, or leaves too few
            clients with data; a task that does not say what clients train on.
        UsageError: more clients or rounds than this machine can hold.
    """
    need_memory(federation)
    with guarded(f"{type(task).__name__}.units"):
        units = task.units(seeds)
    for column in units.columns.values():
        column.flags.writeable = False  # every seed's partition reads the same
    with guarded(f"{type(partitioner).__name__}.split"):
        try:
            split = partitioner.split(units, federation.n_clients, seeds.numpy("split"))
        except ValueError as error:
            raise PluginError(f"The partitioner cannot split these data: {error}") from error
        parts = Parts.joined(split)
    if len(parts) != federation.n_clients or not _disjoint(parts.units, units.n_units):
        raise PluginError(
            f"The partitioner must give {federation.n_clients} disjoint arrays of unit indices below {units.n_units}."
        )
    if training_parts:
        parts = _training_parts(task, parts)
    population = Population(task, parts, federation, seeds)
    if len(population.eligible) < federation.clients_per_round:
        raise PluginError(
            f"Only {len(population.eligible)} clients hold training data; {federation.clients_per_round} are asked in "
            "a round. Use fewer clients or more data."
        )
    if isinstance(task, Planting):
        with guarded(f"{type(task).__name__}.planted"):
            planted = task.planted(parts, population.cohorts(), seeds)
        population = population if planted is task else replace(population, task=planted)
    return population


def _training_parts(task: Task, parts: Parts) -> Parts:
    what = type(task).__name__
    if not isinstance(task, HoldingOut):
        raise PluginError(
            f"{what} has no `trained_units`, so ways of personalisation cannot be tuned on clients' training parts. "
            "Add it, or leave out [tuning.personalization]."
        )
    with guarded(f"{what}.trained_units"):
        return Parts.joined([task.trained_units(parts[i].copy()) for i in range(len(parts))])


def _disjoint(held: np.ndarray, n_units: int) -> bool:
    """Whether every unit exists and is held once."""
    if len(held) and not 0 <= held.min() <= held.max() < n_units:
        return False
    seen = np.zeros(n_units, dtype=bool)
    seen[held] = True
    return int(seen.sum()) == len(held)
