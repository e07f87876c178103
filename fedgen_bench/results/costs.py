"""What a contender asks of a client's device, and what its training took in all; an optional key of a cell's record."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

from pydantic import ConfigDict, Field

_Count = Annotated[int, Field(ge=0, le=2**62)]


@dataclass(frozen=True, kw_only=True)
class ClientCosts:
    """Of one client; evaluation is in none of the figures.

    Args:
        step_flops: counted: floating-point operations of a local step on a whole batch, forward and backward; of a
            method with several fits in a round the mean over their steps.
        training_bytes: measured: the most that tensors take while two steps are trained, over the adapted model.
        model_bytes: counted: the tensors of the adapted model, as they are held.
        private_bytes: counted: what the client keeps from round to round besides.
        joining_bytes: counted: what a new device must fetch before its first step: what of the model the first payload
            does not bring, and that payload, encoded; None where nobody joins.
    """

    __pydantic_config__: ClassVar = ConfigDict(strict=True, extra="forbid")

    step_flops: _Count
    training_bytes: _Count
    model_bytes: _Count
    private_bytes: _Count
    joining_bytes: _Count | None

    @property
    def stored_bytes(self) -> int:
        """What a device holds between its rounds."""
        return self.model_bytes + self.private_bytes


@dataclass(frozen=True, kw_only=True)
class Costs(ClientCosts):
    """Of a finished cell.

    Args:
        n_steps: counted: local steps of all clients in all rounds.
        steps_so_far: counted: how many of them were taken until each point of the curve.
    """

    n_steps: Annotated[int, Field(ge=1, le=2**53)]
    steps_so_far: tuple[_Count, ...]

    def __post_init__(self) -> None:
        taken = (0, *self.steps_so_far, self.n_steps)
        if any(after < before for before, after in itertools.pairwise(taken)):
            raise ValueError("`steps_so_far` falls, or ends above `n_steps`")

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> Self:
        """From JSON."""
        return cls(**{**table, "steps_so_far": tuple(table["steps_so_far"])})

    @property
    def training_flops(self) -> int:
        """Of all local steps of the cell."""
        return self.step_flops * self.n_steps

    def flops_at(self, place: int) -> int:
        """Of those until a point of the curve."""
        return self.step_flops * self.steps_so_far[place]
