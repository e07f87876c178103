"""Size skew: shuffled units in log-normal shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedgen_bench import PartitionerSpec, Parts, UnitTable, hookimpl

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Params:
    """sigma: of the logarithm of the sizes; 0 is equal shares."""

    sigma: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.sigma < float("inf"):
            raise ValueError(f"sigma must be a finite number of at least 0, got {self.sigma}.")


class Quantity:
    """A random permutation of the units, cut at shares proportional to exp(sigma z), z standard normal.

    Clients may be empty.
    """

    def __init__(self, params: Params) -> None:
        self.params = params

    def split(self, units: UnitTable, n_clients: int, rng: np.random.Generator) -> Parts:
        import numpy as np

        weights = np.exp(self.params.sigma * rng.standard_normal(n_clients))
        cuts = np.round(np.cumsum(weights / weights.sum())[:-1] * units.n_units).astype(np.int64)
        owners = np.empty(units.n_units, np.int64)
        sizes = np.diff(cuts, prepend=0, append=units.n_units)
        owners[rng.permutation(units.n_units)] = np.repeat(np.arange(n_clients), sizes)
        return Parts.by_owner(owners, n_clients)


@hookimpl
def register_partitioners() -> list[PartitionerSpec]:
    return [
        PartitionerSpec(name="quantity", summary="Shuffled units in log-normal shares.", build=Quantity, params=Params)
    ]
