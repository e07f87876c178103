"""What a finished cell's models give away of secrets that were planted with clients; an optional key of its record."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field

LeakingModel = Literal["global", "update", "personalized", "others"]
GLOBAL_MODEL: LeakingModel = "global"
UPDATE: LeakingModel = "update"  # a client's update in the model that it was sent: what the server sees of it
OWN_MODEL: LeakingModel = "personalized"  # of the secret's owner
OTHERS: LeakingModel = "others"  # the personalised model of another owner
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Exposed:
    """Exposure of each secret, or of each control, to one kind of model; None where there was no such model.

    Args:
        bits: by rank of likelihood, see `contract.secrets.Exposure`.
        calibrated: by rank of the gain in likelihood over the backbone as it came; None where the task gives none.
        extracted: whether such a model says it by itself.
    """

    __pydantic_config__: ClassVar = ConfigDict(strict=True, extra="forbid")

    bits: tuple[float | None, ...]
    calibrated: tuple[float | None, ...]
    extracted: tuple[bool | None, ...]

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> Self:
        """From JSON."""
        return cls(**{name: tuple(values) for name, values in table.items()})

    @property
    def mean_bits(self) -> float | None:
        """On average; None where there is none."""
        return _mean(self.bits)

    @property
    def mean_calibrated(self) -> float | None:
        """On average; None where there is none."""
        return _mean(self.calibrated)

    @property
    def most_calibrated(self) -> float | None:
        """Of the most exposed one."""
        return max((one for one in self.calibrated if one is not None), default=None)

    @property
    def share_extracted(self) -> float | None:
        """How many of them such a model says by itself."""
        return _mean(self.extracted)


@dataclass(frozen=True, kw_only=True)
class Leaks:
    """Exposures by kind of model.

    Args:
        owners: by secret, the client whose training examples hold it.
        n_candidates: how many draws from the same space each was ranked among.
        space_bits: log2 of the size of that space.
        secrets: of those that were planted.
        controls: of as many further ones, which nobody trained on.
    """

    __pydantic_config__: ClassVar = ConfigDict(strict=True, extra="forbid")

    owners: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
    n_candidates: Annotated[int, Field(ge=1)]
    space_bits: float
    secrets: Mapping[LeakingModel, Exposed]
    controls: Mapping[LeakingModel, Exposed]

    def __post_init__(self) -> None:
        most = self.most_bits + _ROUNDING
        for kind in ("secrets", "controls"):
            for model, exposed in getattr(self, kind).items():
                for name in ("bits", "calibrated", "extracted"):
                    values = getattr(exposed, name)
                    if len(values) != len(self.owners):
                        what = f"`{name}` of `{kind}` has {len(values)} values of `{model}`"
                        raise ValueError(f"{what} for {len(self.owners)} secrets")
                    if any(one is not None and not 0 <= one <= most for one in values):
                        raise ValueError(f"`{name}` of `{kind}` of `{model}` is not within 0 and {most:.6g} bits")

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> Self:
        """From JSON."""
        exposed = {
            kind: {model: Exposed.of(one) for model, one in table[kind].items()} for kind in ("secrets", "controls")
        }
        return cls(**{**table, "owners": tuple(table["owners"]), **exposed})

    @property
    def most_bits(self) -> float:
        """The most that can be measured."""
        return math.log2(self.n_candidates + 1)


def _mean(values: Sequence[float | None]) -> float | None:
    there = [float(one) for one in values if one is not None]
    return math.fsum(there) / len(there) if there else None
