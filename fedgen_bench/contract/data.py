"""What is split over clients and trained on: tensors by name, units, examples. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import torch

Tensors: TypeAlias = "Mapping[str, torch.Tensor]"


@dataclass(frozen=True)
class UnitTable:
    """What a partitioner splits: `n_units` indivisible pieces of data in their natural order.

    Args:
        columns: per-unit integer codes by name (`label`, `district`, ...), each of shape (n_units,).
        on_demand: further ones that cost something, each made when `column` asks for it.
    """

    n_units: int
    columns: Mapping[str, np.ndarray]
    on_demand: Mapping[str, Callable[[], np.ndarray]] = field(default_factory=dict)

    def column(self, name: str) -> np.ndarray:
        """One column. Raises ValueError, naming those there are, when it is missing."""
        if name in self.columns:
            return self.columns[name]
        if name not in self.on_demand:
            known = ", ".join((*self.columns, *self.on_demand)) or "none"
            raise ValueError(f"These units have no column `{name}`. They have: {known}.")
        made = self.on_demand[name]().view()
        made.flags.writeable = False  # everybody reads the same
        return made


class Parts(Sequence["np.ndarray"]):
    """Who holds which units: a sequence with an array of unit indices for each client, held as one array.

    However many clients there are, they take two arrays; a list of arrays takes one object for each.

    Args:
        units: unit indices, those of client 0 first; int64 of shape (n,).
        offsets: where each client's begin, and the end; int64 of shape (n_clients + 1,), ascending from 0 to n.

    Raises:
        ValueError: what is no flat array of whole numbers; the offsets do not cut the units into parts.
    """

    def __init__(self, units: np.ndarray, offsets: np.ndarray) -> None:
        import numpy as np

        units, offsets = _indices(units), _indices(offsets)
        if not len(offsets) or offsets[0] != 0 or offsets[-1] != len(units) or np.any(np.diff(offsets) < 0):
            raise ValueError(f"offsets must ascend from 0 to the number of units, {len(units)}.")
        self.units, self.offsets = units, offsets
        for array in (units, offsets):
            array.flags.writeable = False  # everybody reads the same

    @classmethod
    def by_owner(cls, owners: np.ndarray, n_clients: int) -> Parts:
        """Each client's units in natural order.

        Args:
            owners: the client that holds each unit, -1 for none; integers of shape (n_units,).
            n_clients: how many there are.
        """
        import numpy as np

        sizes = np.bincount(owners[owners >= 0], minlength=n_clients)
        units = np.argsort(owners, kind="stable")[len(owners) - int(sizes.sum()) :]  # what nobody holds comes first
        return cls(units, _cuts(sizes))

    @classmethod
    def joined(cls, parts: Sequence[np.ndarray]) -> Parts:
        """The same from one array a client. Raises ValueError when one of them is no flat array of whole numbers."""
        import numpy as np

        if isinstance(parts, cls):
            return parts
        arrays = [_indices(part) for part in parts]
        units = np.concatenate(arrays) if arrays else np.empty(0, np.int64)
        return cls(units, _cuts(np.fromiter(map(len, arrays), np.int64, len(arrays))))

    @property
    def sizes(self) -> np.ndarray:
        """How many units each client holds; shape (n_clients,)."""
        import numpy as np

        return np.diff(self.offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, client_id: Any) -> Any:
        if isinstance(client_id, slice):
            return [self[i] for i in range(*client_id.indices(len(self)))]
        at = range(len(self))[client_id]
        return self.units[self.offsets[at] : self.offsets[at + 1]]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[i] for i in range(len(self)))


def _indices(given: Any) -> np.ndarray:
    """A view of them as int64 where that is what they are, else a copy."""
    import numpy as np

    array = np.asarray(given)
    if array.ndim != 1:
        raise ValueError("every client's units must be one flat array of indices.")
    if array.dtype == np.int64:
        return array.view()
    with np.errstate(invalid="ignore"):  # nan equals no number
        whole = array.astype(np.int64) if array.dtype.kind in "iuf" else None
    if whole is None or not np.array_equal(whole, array):
        raise ValueError("units are told by their indices, which are whole numbers.")
    return whole


def _cuts(sizes: np.ndarray) -> np.ndarray:
    import numpy as np

    return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes, dtype=np.int64)])


@dataclass(frozen=True)
class Holdings:
    """What each client's units come to, without preparing them.

    Args:
        n_train: its training examples; integers of shape (n_clients,).
        has_heldout: whether a tail of its data is held out; booleans of shape (n_clients,).
    """

    n_train: np.ndarray
    has_heldout: np.ndarray


@dataclass(frozen=True)
class Examples:
    """A client's tensors, each with the example as its first dimension."""

    tensors: Tensors
    n: int


@dataclass(frozen=True)
class MicroBatch:
    """Some examples of a batch.

    Args:
        tensors: what `Task.loss` takes as a batch.
        share: what their mean loss counts in that of the whole batch; a number, or a tensor without dimensions.
    """

    tensors: Tensors
    share: float | torch.Tensor


@dataclass(frozen=True)
class ClientData:
    """One client's training examples and what an evaluation needs of its held-out tail."""

    train: Examples
    heldout: Any
