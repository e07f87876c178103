"""Runs of neighbouring units: a corpus' natural skew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedgen_bench import NoParams, PartitionerSpec, Parts, UnitTable, hookimpl
from fedgen_bench_plugins.partitioners.shares import even_sizes

if TYPE_CHECKING:
    import numpy as np


class Contiguous:
    """The units in natural order, cut into shares whose sizes differ by at most one; who gets which is drawn."""

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def split(self, units: UnitTable, n_clients: int, rng: np.random.Generator) -> Parts:
        import numpy as np

        holders = np.argsort(rng.permutation(n_clients))  # of the shares, in order
        return Parts.by_owner(np.repeat(holders, even_sizes(units.n_units, n_clients)), n_clients)


@hookimpl
def register_partitioners() -> list[PartitionerSpec]:
    return [
        PartitionerSpec(
            name="contiguous", summary="Neighbouring units in equal shares (article order).", build=Contiguous
        )
    ]
