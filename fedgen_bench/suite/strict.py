"""What every table of a suite is built on: it holds nothing unknown and coerces nothing; and its scalar types."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[int, Field(ge=1, le=1_000_000)]
Seed = Annotated[int, Field(ge=0, lt=1 << 63)]
EvaluatedClients = Annotated[int, Field(ge=0, le=10_000_000)]
OwnSteps = Annotated[int, Field(ge=0, le=1_000_000)]
Warmup = Annotated[int, Field(ge=0, le=1_000_000)]
Curve = Literal["constant", "linear", "cosine"]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Strict(BaseModel):
    """A table that holds nothing unknown and coerces nothing."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
