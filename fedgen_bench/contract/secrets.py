"""What is planted with clients so that it can be measured what models give away. Imports no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Secrets:
    """Secrets that a task has planted for one seed; numbers from 0 on are theirs, then come as many controls.

    A secret is a draw from a space of secrets of one form. Controls are further draws, which nobody trains on.

    Args:
        owners: by secret, the one client whose training examples hold it.
        n_candidates: draws from the same space that each is ranked among.
        space_bits: log2 of the size of the space.
    """

    owners: tuple[int, ...]
    n_candidates: int
    space_bits: float

    @property
    def planted(self) -> tuple[int, ...]:
        """Numbers of the secrets."""
        return tuple(range(len(self.owners)))

    @property
    def controls(self) -> tuple[int, ...]:
        """Numbers of the controls."""
        return tuple(range(len(self.owners), 2 * len(self.owners)))

    @property
    def most_bits(self) -> float:
        """The exposure of one that is likelier than all candidates, which is the most that can be measured."""
        return math.log2(self.n_candidates + 1)


@dataclass(frozen=True)
class Exposure:
    """What a model gives away of a secret.

    Args:
        bits: log2(candidates + 1) - log2(rank), where rank 1 is likelier than all candidates (arXiv 1802.08232, by
            sampling); about 1.44 on average for what the model never saw.
        calibrated: the same where ranks are by how much likelier the model makes each than the backbone did as it came
            (arXiv 2111.08440): what training has changed, without what was likely before. None where it is not known.
        extracted: whether the model says it by itself when it is given its beginning.
    """

    bits: float
    calibrated: float | None = None
    extracted: bool = False
