"""results.json, schema 1, as pydantic has it: strict, nothing unknown, nothing coerced."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fedgen_bench.suite.schema import Federation, Training

Count = Annotated[int, Field(ge=0, le=2**53)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
MaybeSha256 = Annotated[str, Field(pattern="^([0-9a-f]{64})?$")]
Nothing = Annotated[dict[str, Any], Field(max_length=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Chosen(_Strict):
    """A component as a run's configuration has it."""

    name: str
    params: dict[str, Any]
    version: str
    source_sha256: MaybeSha256


class ChosenTask(Chosen):
    """The task, with parameters that the streams see otherwise."""

    pairs_as: dict[str, Any] = {}


class ChosenAttack(Chosen):
    """The attack, with the share of hostile clients."""

    fraction: float


class Row(_Strict):
    """The contender."""

    name: str
    ranked: bool
    learning_rate: float
    strategy: Chosen
    adapter: Chosen
    uplink: tuple[Chosen, ...] = ()
    downlink: tuple[Chosen, ...] = ()


class Measured(_Strict):
    """The suite's evaluation without its target."""

    metric: str
    other_metrics: tuple[str, ...]
    optional_metrics: tuple[str, ...] = ()
    round_metric: str | None = None
    every: Annotated[int, Field(ge=1)]
    personalized_clients: Count
    personalized_steps: Count


class AtPoint(_Strict):
    """The point of a sweep that a run was made at."""

    contender: str
    axis: str
    value: float


class Config(_Strict):
    """Everything that determines a result."""

    suite: str
    suite_version: int
    task: ChosenTask
    partitioner: Chosen
    federation: Federation
    training: Training
    evaluation: Measured
    seed: int
    contender: Row
    attack: ChosenAttack | None = None
    point: AtPoint | None = None


class Sums(_Strict):
    """Bytes of one direction over a run."""

    encoded: Count
    tensors: Count
    headers: Count
    messages: Count


class Directions(_Strict):
    """Both directions."""

    up: Sums
    down: Sums


class Came(_Strict):
    """Where a component came from."""

    name: str
    distribution: str
    version: str
    source_sha256: MaybeSha256


class Digests(_Strict):
    """What is paired."""

    partition: Sha256
    cohort: Sha256
    initial: Sha256
    batches: Sha256


class Facts(_Strict):
    """What a finished run says about its model and data."""

    cohort_kind: Literal["sampled", "pooled", "none"]
    trainable_params: Count
    backbone_params: Annotated[Count, Field(ge=1)]
    data: dict[str, str]
    final_sha256: MaybeSha256


class _Record(_Strict):
    contender: str
    seed: int
    config: Config
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


class Body(_Strict):
    """The whole file; records are judged one by one."""

    schema_: Annotated[Literal[1], Field(alias="schema")]
    suite: str
    version: int
    suite_text: str
    records: list[dict[str, Any]]
