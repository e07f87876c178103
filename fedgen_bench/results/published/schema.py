"""results.json as it is held against schema 1: strict, nothing unknown, nothing coerced."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter

from fedgen_bench.results.record import Done, Ended

KNOWN = 1


class _Body(BaseModel):
    """The whole file; records are judged one by one."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    schema_: Annotated[Literal[1], Field(alias="schema")]
    suite: str
    version: int
    suite_text: str
    records: list[dict[str, Any]]


def _consistent(record: Done) -> Done:
    if record.facts.cohort_kind == "sampled" and not record.client_rounds:
        raise ValueError("`client_rounds` is 0 although cohorts are sampled")
    if record.client_rounds and record.answers < 1:
        raise ValueError(f"`clock.missed` leaves none of {record.client_rounds} `client_rounds`, and the run is done")
    if record.costs is not None and len(record.costs.steps_so_far) != len(record.curve):
        n_told, n_points = len(record.costs.steps_so_far), len(record.curve)
        raise ValueError(f"`costs.steps_so_far` has {n_told} values for {n_points} points of the curve")
    return record


BODY: TypeAdapter[Any] = TypeAdapter(_Body)
_ENDED: TypeAdapter[Any] = TypeAdapter(Ended)
STATUSES: Mapping[str, TypeAdapter[Any]] = {
    "done": TypeAdapter(Annotated[Done, AfterValidator(_consistent)]),
    "failed": _ENDED,
    "diverged": _ENDED,
}
