"""What is split over clients and trained on: tensors by name, units, examples. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
    """

    n_units: int
    columns: Mapping[str, np.ndarray]

    def column(self, name: str) -> np.ndarray:
        """One column. Raises ValueError, naming those there are, when it is missing."""
        if name not in self.columns:
            raise ValueError(f"These units have no column `{name}`. They have: {', '.join(self.columns) or 'none'}.")
        return self.columns[name]


@dataclass(frozen=True)
class Examples:
    """A client's tensors, each with the example as its first dimension."""

    tensors: Tensors
    n: int


@dataclass(frozen=True)
class ClientData:
    """One client's training examples and what an evaluation needs of its held-out tail."""

    train: Examples
    heldout: Any
