"""`[personalization]`: how clients go on by themselves after the last round, and how many of them are measured.

A client starts from the global model or from what it kept, trains on its own data alone, and may stay between its own
tensors and the global ones: global + interpolation x (own - global).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fedgen_bench.suite.strict import EvaluatedClients, OwnSteps, PositiveFloat, Strict

Start = Literal["global", "kept"]
Share = Annotated[float, Field(gt=0, le=1)]


class Personalization(Strict):
    """Clients on their own after the last round; contenders may differ in all but `clients`.

    Args:
        clients: how many, of those with held-out data, are measured: with the global model, with what they kept, and
            with their own model after these steps.
        steps: local steps of each.
        start: `global` (default), the model that stands for everybody, or `kept`, what the client has after its last
            round; the strategy says how it goes on from there.
        learning_rate: of these steps; the contender's when left out.
        interpolation: share of the client's own tensors between the global ones (0) and its own (1, default).
    """

    clients: EvaluatedClients
    steps: OwnSteps
    start: Start = "global"
    learning_rate: PositiveFloat | None = None
    interpolation: Share = 1.0


class OwnWay(Strict):
    """What a contender's clients do otherwise than `[personalization]` says.

    Args:
        steps: in place of the suite's.
        start: in place of the suite's.
        learning_rate: in place of the suite's, or of the contender's own.
        interpolation: in place of the suite's.
    """

    steps: OwnSteps | None = None
    start: Start | None = None
    learning_rate: PositiveFloat | None = None
    interpolation: Share | None = None


class ResolvedWay(Strict):
    """What one contender's clients do after the last round, nothing left out."""

    clients: EvaluatedClients
    steps: OwnSteps
    start: Start
    learning_rate: PositiveFloat
    interpolation: Share


def resolved(table: Personalization, own: OwnWay | None, learning_rate: float) -> ResolvedWay:
    """The suite's table with a contender's own values; `learning_rate` is that of its training."""
    given = {"learning_rate": learning_rate} | table.model_dump(exclude_none=True)
    return ResolvedWay(**given | ({} if own is None else own.model_dump(exclude_none=True)))
