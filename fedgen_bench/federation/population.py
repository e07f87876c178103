"""One seed's clients: who holds which units of the task's data, and who is asked in which round."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from fedgen_bench.base.errors import PluginError
from fedgen_bench.base.guards import guarded
from fedgen_bench.contract.data import ClientData, Examples
from fedgen_bench.contract.seeds import SeedTree, digest
from fedgen_bench.suite.sizes import need_memory

if TYPE_CHECKING:
    from fedgen_bench.contract.protocols import Task
    from fedgen_bench.suite.schema import Federation

POOLED_CLIENT = 0


@dataclass(frozen=True)
class Population:
    """One seed's clients: who holds which units, and who is asked in which round."""

    task: Task
    parts: tuple[np.ndarray, ...]
    schedule: tuple[tuple[int, ...], ...]

    @cached_property
    def partition_digest(self) -> str:
        """Hex sha256 of every client's unit indices."""
        return digest(*(part.astype("<i8").tobytes() for part in self.parts))

    @cached_property
    def schedule_digest(self) -> str:
        """Hex sha256 of the cohort schedule."""
        return digest(json.dumps(self.schedule))

    def client(self, client_id: int) -> ClientData:
        """The client's data, prepared when first asked for."""
        return self._clients(client_id)

    @cached_property
    def _clients(self) -> Callable[[int], ClientData]:
        def prepared(client_id: int) -> ClientData:
            with guarded(f"{type(self.task).__name__}.client_data"):
                return self.task.client_data(self.parts[client_id])

        return lru_cache(maxsize=None)(prepared)

    @cached_property
    def pooled(self) -> Examples:
        """Everybody's training examples in one place."""
        import torch

        everyone = [data.train for i in range(len(self.parts)) if (data := self.client(i)).train.n]
        names = everyone[0].tensors
        return Examples(
            {name: torch.cat([examples.tensors[name] for examples in everyone]) for name in names},
            sum(examples.n for examples in everyone),
        )


def make_population(task: Task, partitioner: Any, federation: Federation, seeds: SeedTree) -> Population:
    """Split the task's units and draw every round's cohort, each from its own stream.

    Clients without training examples are never asked.

    Raises:
        PluginError: a partition that is not disjoint, is out of range, or leaves too few clients with data.
        UsageError: more clients or rounds than this machine can hold.
    """
    need_memory(federation)
    n_clients, per_round = federation.n_clients, federation.clients_per_round
    with guarded(f"{type(task).__name__}.units"):
        units = task.units(seeds)
    for column in units.columns.values():
        column.flags.writeable = False  # every seed's partition reads the same
    with guarded(f"{type(partitioner).__name__}.split"):
        parts = tuple(
            np.asarray(part, dtype=np.int64) for part in partitioner.split(units, n_clients, seeds.numpy("split"))
        )
    joined = np.concatenate(parts) if parts else np.empty(0, np.int64)
    if (
        len(parts) != n_clients
        or len(np.unique(joined)) != len(joined)
        or (len(joined) and not 0 <= joined.min() <= joined.max() < units.n_units)
    ):
        raise PluginError(
            f"The partitioner must give {n_clients} disjoint arrays of unit indices below {units.n_units}."
        )
    population = Population(task, parts, ())
    eligible = [i for i in range(n_clients) if len(parts[i]) and population.client(i).train.n]
    if len(eligible) < per_round:
        raise PluginError(
            f"Only {len(eligible)} clients hold training data; {per_round} are asked in a round. Use fewer clients "
            "or more data."
        )
    schedule = tuple(
        tuple(
            sorted(int(i) for i in seeds.numpy("cohort", round_index=r).choice(eligible, size=per_round, replace=False))
        )
        for r in range(federation.rounds)
    )
    return Population(task, parts, schedule)
