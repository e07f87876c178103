"""What a contender asks of a client's device, and what its training took in all; an optional key of a cell's record."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar, Self

from pydantic import ConfigDict, Field

_Count = Annotated[int, Field(ge=0, le=2**62)]
_Joules = Annotated[float, Field(ge=0, allow_inf_nan=False)]


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
    joining_bytes: _Count | None = None

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
        joules: estimated: what clients' devices drew in all rounds; None where no suite says what they draw.
        joules_so_far: estimated: how much of it until each point of the curve; empty where `joules` is None.
    """

    n_steps: Annotated[int, Field(ge=1, le=2**53)]
    steps_so_far: tuple[_Count, ...] = ()
    joules: _Joules | None = None
    joules_so_far: tuple[_Joules, ...] = ()

    def __post_init__(self) -> None:
        for name, so_far, total in (
            ("steps", self.steps_so_far, self.n_steps),
            ("joules", self.joules_so_far, self.joules or 0.0),
        ):
            if any(after < before for before, after in itertools.pairwise((0, *so_far, total))):
                raise ValueError(f"`{name}_so_far` falls, or ends above what there is in all")
        if len(self.joules_so_far) != (0 if self.joules is None else len(self.steps_so_far)):
            raise ValueError("`joules_so_far` is not told for each point of the curve")

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> Self:
        """From JSON."""
        lists = {name: tuple(table.get(name, ())) for name in ("steps_so_far", "joules_so_far")}
        return cls(**{**table, **lists})

    def to_json(self) -> dict[str, Any]:
        """As records have them: what there is."""
        return {name: value for name, value in asdict(self).items() if value not in (None, ())}

    def flops_at(self, place: int) -> int:
        """Of the local steps until a point of the curve."""
        return self.step_flops * self.steps_so_far[place]

    def joules_at(self, place: int) -> float | None:
        """What devices drew until a point of the curve; None where no suite says what they draw."""
        return self.joules_so_far[place] if self.joules_so_far else None

    @property
    def training_flops(self) -> int:
        """Of all local steps of the cell."""
        return self.step_flops * self.n_steps
