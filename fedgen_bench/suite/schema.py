"""What a suite's TOML may hold: strict, nothing unknown, nothing coerced."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from fedgen_bench.registry.kinds import NAME

Positive = Annotated[int, Field(ge=1, le=1_000_000)]
Seed = Annotated[int, Field(ge=0, lt=1 << 63)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Component(_Strict):
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


class SuiteHead(_Strict):
    """Identity of a suite. A published version never changes."""

    name: Annotated[str, Field(pattern=NAME.pattern)]
    version: Positive
    title: str
    reference: str
    full_model: str
    notes: str = ""


class Federation(_Strict):
    """Population, cohort and budget in rounds."""

    n_clients: Annotated[int, Field(ge=1, le=10_000_000)]
    clients_per_round: Positive
    rounds: Positive
    min_updates: Positive = 1
    max_update_norm: PositiveFloat | None = None


class Training(_Strict):
    """Local work of one client in one round, equal for every contender."""

    optimizer: Literal["adamw", "sgd"] = "adamw"
    local_steps: Positive | None = None
    local_epochs: Positive | None = None
    batch_size: Positive
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    clip_norm: PositiveFloat | None = None
    precision: Literal["fp32", "bf16"] = "fp32"
    threads: Positive = 1
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None


class Evaluation(_Strict):
    """What is measured, when, and the target of the convergence columns."""

    metric: str
    other_metrics: tuple[str, ...] = ()
    optional_metrics: tuple[str, ...] = ()
    round_metric: str | None = None
    every: Positive = 1
    target: Annotated[float, Field(allow_inf_nan=False)]
    personalized_clients: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    personalized_steps: Annotated[int, Field(ge=0, le=1_000_000)] = 0

    @property
    def followed(self) -> str:
        """The metric that is read after rounds and on clients' own data, and that `target` is a value of."""
        return self.round_metric or self.metric


class Seeds(_Strict):
    """Leaderboard seeds, and the one that tuning may see."""

    leaderboard: tuple[Seed, ...]
    tuning: Seed


class Contender(_Strict):
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


class Tuning(_Strict):
    """The tuning rule: rounds of a trial and, by contender, its grid: overrides of the contender's table."""

    rounds: Positive
    grid: dict[str, tuple[dict[str, int | float], ...]]


class Point(_Strict):
    """A value of a sweep's axis, and the values of the suite that it sets, by path as `--set` has them."""

    value: Annotated[float, Field(allow_inf_nan=False)]
    set: Annotated[dict[str, int | float], Field(min_length=1)]


class Sweep(_Strict):
    """An ablation of suite `of`: some contenders run once for every point of an axis."""

    of: Annotated[str, Field(pattern=NAME.pattern)]
    axis: Annotated[str, Field(pattern=NAME.pattern)]
    contenders: Annotated[tuple[str, ...], Field(min_length=1)]
    point: Annotated[tuple[Point, ...], Field(min_length=2)]


class SuiteSpec(_Strict):
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


_ONLY_WHEN_GIVEN = ("ema_decay", "optional_metrics", "pairs_as", "round_metric", "uplink", "downlink")


def plain(table: BaseModel) -> dict[str, Any]:
    """A suite's table as JSON has it; keys that came after suites were published stand in it only when they are given.

    Identities of runs are hashes of these tables.
    """
    return table.model_dump(mode="json", exclude={key for key in _ONLY_WHEN_GIVEN if not getattr(table, key, None)})
