"""results.json, schema 1, as pydantic has it: strict, nothing unknown, nothing coerced."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from fedgen_bench.suite.cellconfig import CellConfig
from fedgen_bench.suite.schema import Strict

Count = Annotated[int, Field(ge=0, le=2**53)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
MaybeSha256 = Annotated[str, Field(pattern="^([0-9a-f]{64})?$")]
Nothing = Annotated[dict[str, Any], Field(max_length=0)]


class Sums(Strict):
    """Bytes of one direction over a run."""

    encoded: Count
    tensors: Count
    headers: Count
    messages: Count


class Directions(Strict):
    """Both directions."""

    up: Sums
    down: Sums


class Came(Strict):
    """Where a component came from."""

    name: str
    distribution: str
    version: str
    source_sha256: MaybeSha256


class Digests(Strict):
    """What is paired."""

    partition: Sha256
    cohort: Sha256
    initial: Sha256
    batches: Sha256


class Facts(Strict):
    """What a finished run says about its model and data."""

    cohort_kind: Literal["sampled", "pooled", "none"]
    trainable_params: Count
    backbone_params: Annotated[Count, Field(ge=1)]
    data: dict[str, str]
    final_sha256: MaybeSha256


class _Record(Strict):
    contender: str
    seed: int
    config: CellConfig
    digest: Annotated[str, Field(pattern="^[0-9a-f]{24}$")]
    off_suite: tuple[str, ...]
    curve: tuple[tuple[int, float, Count], ...]
    bytes: Directions
    client_rounds: Count
    quarantined: tuple[tuple[Count, int, str], ...]
    provenance: dict[str, Came]
    environment: dict[str, Any]


class Done(_Record):
    """The record of a run that finished."""

    status: Literal["done"]
    reason: Annotated[str, Field(max_length=0)]
    metrics: Annotated[dict[str, float], Field(min_length=1)]
    per_client: dict[Literal["global", "personalized"], dict[Annotated[str, Field(pattern="^[0-9]{1,9}$")], float]]
    digests: Digests
    facts: Facts
    showcase: str = ""

    @model_validator(mode="after")
    def _asked(self) -> Self:
        if self.facts.cohort_kind == "sampled" and not self.client_rounds:
            raise ValueError("`client_rounds` is 0 although cohorts are sampled")
        return self


class Ended(_Record):
    """The record of a run that failed or diverged: its committed rounds, and why."""

    status: Literal["failed", "diverged"]
    reason: Annotated[str, Field(min_length=1)]
    metrics: Nothing
    per_client: Nothing
    digests: Nothing
    facts: Nothing


class Body(Strict):
    """The whole file; records are judged one by one."""

    schema_: Annotated[Literal[1], Field(alias="schema")]
    suite: str
    version: int
    suite_text: str
    records: list[dict[str, Any]]
