"""Label skew: every client draws its own mix of labels from a Dirichlet distribution."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from fedgen_bench import PartitionerSpec, Parts, UnitTable, hookimpl
from fedgen_bench_plugins.partitioners.shares import even_sizes

if TYPE_CHECKING:
    import numpy as np


_BLOCK_WEIGHTS = 1 << 17  # in a block of draws: what a processor's cache holds


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

    def split(self, units: UnitTable, n_clients: int, rng: np.random.Generator) -> Parts:
        """Raises ValueError when the units lack the column."""
        import numpy as np

        counts, pools = _shuffled(units.column(self.params.column), rng)
        mixes = rng.dirichlet(np.maximum(self.params.alpha * counts / counts.sum() * len(counts), 1e-6), size=n_clients)
        sizes, order = even_sizes(units.n_units, n_clients), rng.permutation(n_clients)
        turns = np.repeat(order, sizes[order])
        drawn = _draw(mixes, turns, counts.tolist(), rng.random(units.n_units))
        owners = np.empty(units.n_units, np.int64)
        owners[pools] = turns[np.argsort(drawn, kind="stable")]
        return Parts.by_owner(owners, n_clients)


def _shuffled(labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Units of every label in turn, each label's in random order: how many, and which."""
    import numpy as np

    _, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    by_label = np.split(np.argsort(codes, kind="stable"), np.cumsum(counts)[:-1])
    return counts, np.concatenate([rng.permutation(units)[::-1] for units in by_label])


def _draw(mixes: np.ndarray, turns: np.ndarray, left: list[int], chances: np.ndarray) -> np.ndarray:
    """A label for every turn, as one `Generator.choice` after the other would draw it.

    Labels only hang on those before them where one is used up, so turns are worked off in blocks in between.

    Args:
        mixes: weights of the labels, of shape (n_clients, n_labels).
        turns: whose turn it is.
        left: units of every label; counted down.
        chances: a uniform number a turn.
    """
    import numpy as np

    n_labels = len(left)
    drawn = np.empty(len(turns), np.min_scalar_type(n_labels))
    block, at = max(1, _BLOCK_WEIGHTS // n_labels), 0
    while at < len(turns):
        some, until = chances[at : at + block], at + block
        weights = np.where(np.array(left) > 0, mixes[turns[at:until]], 0.0)
        totals = weights.sum(axis=1)
        lost = ~(totals > 0)  # every label that this client wants is used up
        weights[lost], totals[lost] = 1.0, n_labels
        cumulated = np.cumsum(weights / totals[:, None], axis=1)
        cumulated /= cumulated[:, -1:]
        labels = (cumulated <= some[:, None]).sum(axis=1)
        labels[lost] = n_labels
        first = at
        for label, chance in zip(labels.tolist(), some.tolist(), strict=True):
            taken = _of_what_is_left(left, chance) if label == n_labels else label
            labels[at - first] = taken
            left[taken] -= 1
            at += 1
            if not left[taken]:
                break
        drawn[first:at] = labels[: at - first]
    return drawn


def _of_what_is_left(left: list[int], chance: float) -> int:
    total = sum(left)
    cumulated = list(accumulate(n / total for n in left))
    return bisect_right([one / cumulated[-1] for one in cumulated], chance)


@hookimpl
def register_partitioners() -> list[PartitionerSpec]:
    summary = "Label mixes from Dir(alpha), equal sizes (arXiv 1909.06335)."
    return [PartitionerSpec(name="dirichlet", summary=summary, build=Dirichlet, params=Params)]
