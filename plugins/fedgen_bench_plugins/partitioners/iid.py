"""Shuffled units in equal shares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedgen_bench import NoParams, PartitionerSpec, UnitTable, hookimpl

if TYPE_CHECKING:
    import numpy as np


class IID:
    """A uniform random permutation of the units, cut into shares whose sizes differ by at most one."""

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def split(self, units: UnitTable, n_clients: int, rng: np.random.Generator) -> list[np.ndarray]:
        import numpy as np

        return [np.sort(part) for part in np.array_split(rng.permutation(units.n_units), n_clients)]


@hookimpl
def register_partitioners() -> list[PartitionerSpec]:
    return [PartitionerSpec(name="iid", summary="Shuffled units in equal shares.", build=IID)]
