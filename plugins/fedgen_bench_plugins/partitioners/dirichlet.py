"""Label skew: every client draws its own mix of labels from a Dirichlet distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedgen_bench import PartitionerSpec, UnitTable, hookimpl

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Params:
    """alpha: concentration, small is skewed. column: the units' label."""

    alpha: float = 0.1
    column: str = "label"

    def __post_init__(self) -> None:
        if not 0 < self.alpha < float("inf"):
            raise ValueError(f"alpha must be a finite number above 0, got {self.alpha}.")


class Dirichlet:
    """Equal-sized clients; label mixes are drawn from Dir(alpha K p), p the global mix of K labels (arXiv 1909.06335).

    Units are drawn without replacement; a label that is used up leaves the mixes and they are renormalised.
    """

    def __init__(self, params: Params) -> None:
        self.params = params

    def split(self, units: UnitTable, n_clients: int, rng: np.random.Generator) -> list[np.ndarray]:
        """Raises ValueError when the units lack the column."""
        import numpy as np

        labels = units.column(self.params.column)
        values, counts = np.unique(labels, return_counts=True)
        pools = [list(rng.permutation(np.flatnonzero(labels == value))) for value in values]
        mixes = rng.dirichlet(np.maximum(self.params.alpha * counts / counts.sum() * len(values), 1e-6), size=n_clients)
        sizes = [len(part) for part in np.array_split(np.arange(units.n_units), n_clients)]
        parts: list[list[int]] = [[] for _ in range(n_clients)]
        for client in rng.permutation(n_clients):
            for _ in range(sizes[client]):
                left = np.array([len(pool) for pool in pools])
                weights = np.where(left > 0, mixes[client], 0.0)
                if weights.sum() <= 0:  # every label that this client wants is used up: take from what is left
                    weights = left.astype(float)
                parts[client].append(pools[rng.choice(len(pools), p=weights / weights.sum())].pop())
        return [np.sort(np.array(part, dtype=np.int64)) for part in parts]


@hookimpl
def register_partitioners() -> list[PartitionerSpec]:
    summary = "Label mixes from Dir(alpha), equal sizes (arXiv 1909.06335)."
    return [PartitionerSpec(name="dirichlet", summary=summary, build=Dirichlet, params=Params)]
