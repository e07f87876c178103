"""Clients that exist in the data: one per value of a column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedgen_bench import PartitionerSpec, Parts, UnitTable, hookimpl

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Params:
    """column: the units' column that names a client (speaker, district, ...)."""

    column: str = "label"


class Natural:
    """Client i holds the units of the i-th most frequent value; values beyond `n_clients` are left out."""

    def __init__(self, params: Params) -> None:
        self.params = params

    def split(self, units: UnitTable, n_clients: int, rng: np.random.Generator) -> Parts:
        """Raises ValueError when the column is missing or has fewer values than clients are asked for."""
        import numpy as np

        codes = units.column(self.params.column)
        values, which, counts = np.unique(codes, return_inverse=True, return_counts=True)
        if len(values) < n_clients:
            raise ValueError(
                f"Column `{self.params.column}` has {len(values)} values; {n_clients} clients were asked for."
            )
        holders = np.full(len(values), -1)
        holders[np.lexsort((values, -counts))[:n_clients]] = np.arange(n_clients)
        return Parts.by_owner(holders[which], n_clients)


@hookimpl
def register_partitioners() -> list[PartitionerSpec]:
    why = "clients are the values of a column; it refuses to invent others"
    return [
        PartitionerSpec(
            name="natural",
            summary="One client per value of a column.",
            build=Natural,
            params=Params,
            exceptions=dict.fromkeys(("check_more_clients_than_labels", "check_more_clients_than_units"), why),
        )
    ]
