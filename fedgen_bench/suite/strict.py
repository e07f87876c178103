"""What every table of a suite is built on, its scalar types, and how it is written where it is hashed and stored."""

from __future__ import annotations

import copy
from typing import Annotated, Any, Literal

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


_ONLY_WHEN_GIVEN = frozenset(
    {
        "attack",
        "client_metric",
        "devices",
        "downlink",
        "mechanism",
        "ema_decay",
        "example_dp",
        "micro_batch_size",
        "optional_metrics",
        "pairs_as",
        "pairs_without",
        "personalization",
        "personalization_trials",
        "point",
        "references",
        "round_metric",
        "schedule",
        "uplink",
    }
)


def plain(table: BaseModel) -> dict[str, Any]:
    """A table as JSON has it; keys that came after suites were published stand in it only when they are given.

    Identities of cells are hashes of such tables.
    """
    return {name: _plain(value) for name, value in table if value or name not in _ONLY_WHEN_GIVEN}


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return plain(value)
    return [_plain(one) for one in value] if isinstance(value, tuple) else copy.deepcopy(value)
