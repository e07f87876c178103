"""Text in memory: lines of three parts, in documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Corpus:
    """Lines of the three parts.

    Args:
        columns: integers by name, one a training line; `label` is the topic.
        documents: the training line that each document begins with.
        valid_runs: equal runs of validation lines that a subset is taken from.
        floor_nats: by part, each line's negative log-likelihood under the text's own generator, where there is one.
        provenance: sha256 by file.
    """

    train: Sequence[str]
    valid: Sequence[str]
    test: Sequence[str]
    provenance: Mapping[str, str]
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    documents: Sequence[int] = (0,)
    valid_runs: int = 8
    floor_nats: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def unit_bounds(self, unit_lines: int) -> list[int]:
        """First training line of every unit, and the end: unit i is the lines from bound i up to bound i + 1.

        Units are runs of `unit_lines` lines; the last one of a document is shorter when its lines do not come out even.
        """
        n = len(self.train)
        ends = [*self.documents[1:], n]
        return [i for first, end in zip(self.documents, ends, strict=True) for i in range(first, end, unit_lines)] + [n]
