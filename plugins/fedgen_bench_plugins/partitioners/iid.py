"""Shuffled units in equal shares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedgen_bench import NoParams, PartitionerSpec, Parts, UnitTable, hookimpl
from fedgen_bench_plugins.partitioners.shares import even_sizes

if TYPE_CHECKING:
    import numpy as np


class IID:
    """A uniform random permutation of the units, cut into shares whose sizes differ by at most one."""

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def split(self, units: UnitTable, n_clients: int, rng: np.random.Generator) -> Parts:
        import numpy as np

        owners = np.empty(units.n_units, np.int64)
        owners[rng.permutation(units.n_units)] = np.repeat(np.arange(n_clients), even_sizes(units.n_units, n_clients))
        return Parts.by_owner(owners, n_clients)


@hookimpl
def register_partitioners() -> list[PartitionerSpec]:
    return [PartitionerSpec(name="iid", summary="Shuffled units in equal shares.", build=IID)]
