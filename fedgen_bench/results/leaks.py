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
OTHERS: LeakingModel = "others"  # personalised models of other owners
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Leaks:
    """Exposures by kind of model and secret; None where a secret had no such model.

    Args:
        owners: by secret, the client whose training examples hold it.
        n_candidates: how many draws from the same space each was ranked among.
        space_bits: log2 of the size of that space.
        bits: exposure of the secrets; of several models of a kind the mean.
        controls: that of further secrets, which nobody trained on.
        extracted: whether such a model says the secret by itself; of several any.
    """

    __pydantic_config__: ClassVar = ConfigDict(strict=True, extra="forbid")

    owners: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
    n_candidates: Annotated[int, Field(ge=1)]
    space_bits: float
    bits: Mapping[LeakingModel, tuple[float | None, ...]]
    controls: Mapping[LeakingModel, tuple[float | None, ...]]
    extracted: Mapping[LeakingModel, tuple[bool | None, ...]]

    def __post_init__(self) -> None:
        most = self.most_bits + _ROUNDING
        for name in ("bits", "controls", "extracted"):
            for model, values in getattr(self, name).items():
                if len(values) != len(self.owners):
                    raise ValueError(f"`{name}` of `{model}` has {len(values)} values for {len(self.owners)} secrets")
                if any(one is not None and not 0 <= one <= most for one in values):
                    raise ValueError(f"`{name}` of `{model}` is not within 0 and {most:.6g} bits")

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> Self:
        """From JSON."""
        by_model = {
            name: {model: tuple(values) for model, values in table[name].items()}
            for name in ("bits", "controls", "extracted")
        }
        return cls(**{**table, "owners": tuple(table["owners"]), **by_model})

    @property
    def most_bits(self) -> float:
        """The most that can be measured."""
        return math.log2(self.n_candidates + 1)

    def mean_bits(self, model: LeakingModel) -> float | None:
        """Exposure of the secrets on average; None where there is none."""
        return _mean(self.bits.get(model, ()))

    def mean_control(self, model: LeakingModel) -> float | None:
        """That of what nobody trained on."""
        return _mean(self.controls.get(model, ()))

    def max_bits(self, model: LeakingModel) -> float | None:
        """That of the most exposed secret."""
        return max((one for one in self.bits.get(model, ()) if one is not None), default=None)

    def share_extracted(self, model: LeakingModel) -> float | None:
        """Of the secrets, how many such a model says by itself."""
        return _mean(self.extracted.get(model, ()))


def _mean(values: Sequence[float | None]) -> float | None:
    there = [float(one) for one in values if one is not None]
    return math.fsum(there) / len(there) if there else None
