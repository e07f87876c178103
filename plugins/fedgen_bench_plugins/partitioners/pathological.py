"""Label skew by shards: every client holds a few runs of the units sorted by label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedgen_bench import PartitionerSpec, Parts, UnitTable, hookimpl
from fedgen_bench_plugins.partitioners.shares import even_sizes

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Params:
    """shards_per_client: few is skewed. column: the units' label."""

    shards_per_client: int = 2
    column: str = "label"

    def __post_init__(self) -> None:
        if self.shards_per_client < 1:
            raise ValueError(f"shards_per_client must be at least 1, got {self.shards_per_client}.")


class Pathological:
    """The "pathological non-IID" partition (arXiv 1602.05629, section 3).

    Units are sorted by label (those of one label stay in natural order) and cut into `n_clients * shards_per_client`
    shards whose sizes differ by at most one; each client is dealt `shards_per_client` of them at random.
    """

    def __init__(self, params: Params) -> None:
        self.params = params

    def split(self, units: UnitTable, n_clients: int, rng: np.random.Generator) -> Parts:
        """Raises ValueError when the units lack the column."""
        import numpy as np

        by_label = np.argsort(units.column(self.params.column), kind="stable")
        n_shards = n_clients * self.params.shards_per_client
        holders = np.empty(n_shards, np.int64)
        holders[rng.permutation(n_shards)] = np.repeat(np.arange(n_clients), self.params.shards_per_client)
        owners = np.empty(units.n_units, np.int64)
        owners[by_label] = np.repeat(holders, even_sizes(units.n_units, n_shards))
        return Parts.by_owner(owners, n_clients)


@hookimpl
def register_partitioners() -> list[PartitionerSpec]:
    summary = "A few shards of the units sorted by label (arXiv 1602.05629)."
    return [PartitionerSpec(name="pathological", summary=summary, build=Pathological, params=Params)]
