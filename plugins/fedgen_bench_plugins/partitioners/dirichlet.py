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
        turns, drawn = self._turns(counts, n_clients, rng)
        owners = np.empty(units.n_units, turns.dtype)
        owners[pools] = turns[np.argsort(drawn, kind="stable")]
        return Parts.by_owner(owners, n_clients)

    def _turns(self, counts: np.ndarray, n_clients: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Whose turn it is to draw a unit, and the label that it has."""
        import numpy as np

        n_units, n_labels = int(counts.sum()), len(counts)
        mixes = rng.dirichlet(np.maximum(self.params.alpha * counts / n_units * n_labels, 1e-6), size=n_clients)
        order = rng.permutation(n_clients).astype(np.min_scalar_type(-n_clients))
        turns = np.repeat(order, even_sizes(n_units, n_clients)[order])
        return turns, _draw(mixes, turns, counts, rng.random(n_units))


def _shuffled(labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Units of every label in turn, each label's in random order: how many, and which."""
    import numpy as np

    by_label = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.diff(labels[by_label])) + 1
    pools = np.concatenate([rng.permutation(units)[::-1] for units in np.split(by_label, starts)])
    return np.diff(starts, prepend=0, append=len(labels)), pools


def _draw(mixes: np.ndarray, turns: np.ndarray, counts: np.ndarray, chances: np.ndarray) -> np.ndarray:
    """A label for every turn, as one `Generator.choice` after the other would draw it.

    Labels only hang on those before them where one is used up, so turns are worked off in blocks in between.

    Args:
        mixes: weights of the labels, of shape (n_clients, n_labels).
        turns: whose turn it is.
        counts: units of every label.
        chances: a uniform number a turn.
    """
    import numpy as np

    left, n_labels = counts.copy(), len(counts)
    drawn = np.empty(len(turns), np.min_scalar_type(n_labels))
    block, at = max(1, _BLOCK_WEIGHTS // n_labels), 0
    while at < len(turns):
        weights = np.where(left > 0, mixes[turns[at : at + block]], 0.0)
        totals = weights.sum(axis=1)
        lost = ~(totals > 0)  # every label that this client wants is used up
        weights[lost], totals[lost] = 1.0, n_labels
        cumulated = np.cumsum(weights / totals[:, None], axis=1)
        cumulated /= cumulated[:, -1:]
        labels = (cumulated <= chances[at : at + block, None]).sum(axis=1)
        if lost.any() or np.any(np.bincount(labels, minlength=n_labels) >= np.maximum(left, 1)):
            labels[lost] = n_labels
            labels = np.array(_until_one_is_used_up(labels.tolist(), chances[at : at + block].tolist(), left.tolist()))
        drawn[at : at + len(labels)] = labels
        left -= np.bincount(labels, minlength=n_labels)
        at += len(labels)
    return drawn


def _until_one_is_used_up(labels: list[int], chances: list[float], left: list[int]) -> list[int]:
    """Labels up to the first that is used up; for who wants no label, as many as there are, one of what is left."""
    taken = []
    for wanted, chance in zip(labels, chances, strict=True):
        label = _of_what_is_left(left, chance) if wanted == len(left) else wanted
        taken.append(label)
        left[label] -= 1
        if not left[label]:
            break
    return taken


def _of_what_is_left(left: list[int], chance: float) -> int:
    total = sum(left)
    cumulated = list(accumulate(n / total for n in left))
    return bisect_right([one / cumulated[-1] for one in cumulated], chance)


@hookimpl
def register_partitioners() -> list[PartitionerSpec]:
    summary = "Label mixes from Dir(alpha), equal sizes (arXiv 1909.06335)."
    return [PartitionerSpec(name="dirichlet", summary=summary, build=Dirichlet, params=Params)]
