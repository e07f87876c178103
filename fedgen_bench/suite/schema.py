"""What a suite's TOML may hold: strict, nothing unknown, nothing coerced."""

from __future__ import annotations

import copy
import types
import typing
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from fedgen_bench.registry.kinds import NAME

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


class Component(Strict):
    """A component by name with its parameters."""

    name: str
    params: dict[str, Any] = {}


class Task(Component):
    """The task, and its parameters as the streams see them where `--set` or a sweep's point has changed them.

    Of `pairs_as` only parameters that bear on evaluation alone are read (see `TaskSpec.evaluation_only`).
    """

    pairs_as: dict[str, Any] = {}


class Attack(Component):
    """What hostile clients do, and how many there are."""

    fraction: Annotated[float, Field(gt=0, lt=1)]


class SuiteHead(Strict):
    """Identity of a suite. A published version never changes."""

    name: Annotated[str, Field(pattern=NAME.pattern)]
    version: Positive
    title: str
    reference: str
    full_model: str
    notes: str = ""


class Federation(Strict):
    """Population, cohort and budget in rounds."""

    n_clients: Annotated[int, Field(ge=1, le=10_000_000)]
    clients_per_round: Positive
    rounds: Positive
    min_updates: Positive = 1
    max_update_norm: PositiveFloat | None = None


class Schedule(Strict):
    """How the learning rate changes: over the rounds, and within every fit (see `federation.schedules`)."""

    over_rounds: Curve = "constant"
    warmup_rounds: Warmup = 0
    within_fit: Curve = "constant"
    warmup_steps: Warmup = 0

    @property
    def within(self) -> str:
        """The key that has steps of one fit differ in their rate, with its value; empty when none does."""
        if self.within_fit != "constant":
            return f'within_fit = "{self.within_fit}"'
        return f"warmup_steps = {self.warmup_steps}" if self.warmup_steps else ""


class Training(Strict):
    """Local work of one client in one round, equal for every contender."""

    optimizer: Literal["adamw", "sgd"] = "adamw"
    local_steps: Positive | None = None
    local_epochs: Positive | None = None
    batch_size: Positive
    micro_batch_size: Positive | None = None
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    clip_norm: PositiveFloat | None = None
    precision: Literal["fp32", "bf16"] = "fp32"
    threads: Positive = 1
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    schedule: Schedule | None = None


class Metrics(Strict):
    """Which metrics are read, and when."""

    metric: str
    other_metrics: tuple[str, ...] = ()
    optional_metrics: tuple[str, ...] = ()
    round_metric: str | None = None
    every: Positive = 1

    @property
    def followed(self) -> str:
        """The metric that is read after rounds and on clients' own data, and that `target` is a value of."""
        return self.round_metric or self.metric

    @property
    def metrics(self) -> tuple[str, ...]:
        """All that are measured after the last round, each once."""
        return tuple(dict.fromkeys([self.metric, self.followed, *self.other_metrics, *self.optional_metrics]))

    @property
    def round_metrics(self) -> tuple[str, ...]:
        """Those that are measured after rounds and on clients' own data."""
        return (self.followed,) if self.round_metric else self.metrics


class Evaluation(Metrics):
    """What is measured, when, and the target of the convergence columns."""

    target: Annotated[float, Field(allow_inf_nan=False)]
    personalized_clients: EvaluatedClients = 0
    personalized_steps: OwnSteps = 0


class Seeds(Strict):
    """Leaderboard seeds, and the one that tuning may see."""

    leaderboard: tuple[Seed, ...]
    tuning: Seed


class Contender(Strict):
    """A row: strategy + adapter + hyperparameters. `ranked = false` makes it a reference row.

    `uplink` and `downlink` are compressors in front of the wire, the first one first.
    """

    name: Annotated[str, Field(pattern=NAME.pattern)]
    strategy: Component
    adapter: Component
    learning_rate: PositiveFloat
    ranked: bool = True
    uplink: tuple[Component, ...] = ()
    downlink: tuple[Component, ...] = ()


class Tuning(Strict):
    """The tuning rule: rounds of a trial and, by contender, its grid: overrides of the contender's table."""

    rounds: Positive
    grid: dict[str, tuple[dict[str, int | float], ...]]


class SweepPoint(Strict):
    """A value of a sweep's axis, and the values of the suite that it sets, by path as `--set` has them."""

    value: Annotated[float, Field(allow_inf_nan=False)]
    set: Annotated[dict[str, int | float], Field(min_length=1)]


class Sweep(Strict):
    """An ablation of suite `of`: some contenders run once for every point of an axis."""

    of: Annotated[str, Field(pattern=NAME.pattern)]
    axis: Annotated[str, Field(pattern=NAME.pattern)]
    contenders: Annotated[tuple[str, ...], Field(min_length=1)]
    point: Annotated[tuple[SweepPoint, ...], Field(min_length=2)]


class SuiteSpec(Strict):
    """A whole suite, validated."""

    suite: SuiteHead
    task: Task
    partitioner: Component
    federation: Federation
    training: Training
    evaluation: Evaluation
    seeds: Seeds
    contender: tuple[Contender, ...]
    attack: Attack | None = None
    tuning: Tuning | None = None
    sweep: Sweep | None = None


_ONLY_WHEN_GIVEN = frozenset(
    {
        "attack",
        "downlink",
        "ema_decay",
        "micro_batch_size",
        "optional_metrics",
        "pairs_as",
        "pairs_without",
        "point",
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


def accepted(model: type[BaseModel], prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """What every table of a model accepts, by path (list items under every index up to 99)."""
    yield prefix, list(model.model_fields)
    for name, one in model.model_fields.items():
        for inner in models_in(one.annotation):
            in_list = typing.get_origin(one.annotation) is tuple
            prefixes = [(*prefix, name, str(i)) for i in range(100)] if in_list else [(*prefix, name)]
            for each in prefixes:
                yield from accepted(inner, each)


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The tables that a field's type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) in (tuple, types.UnionType, typing.Union):
        return [model for part in typing.get_args(annotation) for model in models_in(part)]
    return []
