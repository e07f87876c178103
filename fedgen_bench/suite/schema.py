"""What a suite's TOML may hold: strict, nothing unknown, nothing coerced. `Args` of a table say what its keys mean."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from fedgen_bench.registry.kinds import NAME
from fedgen_bench.suite.devices import Devices
from fedgen_bench.suite.example_dp import ExampleDP
from fedgen_bench.suite.personalization import OwnWay, Personalization
from fedgen_bench.suite.strict import (
    Curve,
    EvaluatedClients,
    OwnSteps,
    Positive,
    PositiveFloat,
    Seed,
    Strict,
    Warmup,
)
from fedgen_bench.suite.structure import OfKind


class Component(Strict):
    """A component by name with its parameters.

    Args:
        name: of a registered component.
        params: its parameters; what is left out has its default.
    """

    name: str
    params: dict[str, Any] = Field(default_factory=dict)


class Task(Component):
    """Data, backbone, loss and evaluation.

    Args:
        pairs_as: parameters that bear on evaluation alone (see `TaskSpec.evaluation_only`), as the random streams see
            them; set by `--set` and points of a sweep, so that equal work stays paired; `params` when left out.
    """

    pairs_as: dict[str, Any] = Field(default_factory=dict)


class Attack(Component):
    """What hostile clients do to their updates, and how many there are.

    Args:
        fraction: share of the population that is hostile, more than 0 and less than 1.
    """

    fraction: Annotated[float, Field(gt=0, lt=1)]


class SuiteHead(Strict):
    """Identity of a suite. A published version never changes.

    Args:
        name: lower case letters, digits, `.`, `_`, `-`.
        version: whole number from 1.
        title: heading of the leaderboard.
        reference: contender that the others are compared with, seed by seed.
        full_model: contender whose uplink is the base of the "uplink saved" column.
        notes: stands under the leaderboard; empty when left out.
    """

    name: Annotated[str, Field(pattern=NAME.pattern)]
    version: Positive
    title: str
    reference: str
    full_model: str
    notes: str = ""


class Federation(Strict):
    """Population, cohort and budget in rounds.

    Args:
        n_clients: clients in the population.
        clients_per_round: clients that are asked in a round.
        rounds: rounds.
        min_updates: valid updates below which a round, and with it the cell, fails; 1 when left out.
        max_update_norm: bound on the Euclidean norm of what a client changed: its update minus what it received; none
            when left out.
    """

    n_clients: Annotated[int, Field(ge=1, le=10_000_000)]
    clients_per_round: Positive
    rounds: Positive
    min_updates: Positive = 1
    max_update_norm: PositiveFloat | None = None


class Schedule(Strict):
    """How the learning rate changes: over the rounds, and within every fit (see `federation.schedules`).

    Args:
        over_rounds: how the learning rate goes over the rounds: `constant` (default), `linear` or `cosine`.
        warmup_rounds: first rounds in which it rises; 0 when left out.
        within_fit: how it goes over the steps of every fit: `constant` (default), `linear` or `cosine`.
        warmup_steps: first steps of every fit in which it rises; 0 when left out.
    """

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
    """Local work of one client in one round, equal for every contender.

    Args:
        optimizer: `adamw` (default) or `sgd`; made anew for every fit.
        local_steps: optimizer steps of a client in a round; give this or `local_epochs`.
        local_epochs: passes over the client's data in a round.
        batch_size: examples in a batch; the last of an epoch may be smaller.
        micro_batch_size: examples of a batch that go through the network at a time; all of them when left out.
        weight_decay: of the optimizer; 0 when left out. Rows of embeddings that no batch of a fit has used (labels,
            words, positions) do not decay.
        clip_norm: bound on the gradient's norm; none when left out.
        precision: `fp32` (default) or `bf16` (autocast, for training and evaluation).
        threads: processor threads of a cell; 1 when left out. More threads give other bits.
        ema_decay: makes a fit give the moving average of its steps' tensors instead of the last ones; none when left
            out.
        schedule: how the learning rate changes; constant when left out.
    """

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
    """Which metrics are read, and when.

    Args:
        metric: the metric that ranks (`fedgen-bench list metric`); it is read on the test part.
        other_metrics: more metrics, shown beside it.
        optional_metrics: as `other_metrics`, but each is left out where the task cannot give what it needs.
        round_metric: the metric that is followed: read after rounds and on clients' own data, and the only one there;
            when left out, `metric`, and the others beside it.
        client_metric: the metric that is read on clients' own data; what is read after rounds when left out.
        every: the validation subset is evaluated after every so many rounds and after the last; 1 when left out.
    """

    metric: Annotated[str, OfKind("metric")]
    other_metrics: Annotated[tuple[str, ...], OfKind("metric")] = ()
    optional_metrics: Annotated[tuple[str, ...], OfKind("metric")] = ()
    round_metric: Annotated[str | None, OfKind("metric")] = None
    client_metric: Annotated[str | None, OfKind("metric")] = None
    every: Positive = 1

    @property
    def followed(self) -> str:
        """The metric that is read after rounds, and that `target` is a value of."""
        return self.round_metric or self.metric

    @property
    def own(self) -> str:
        """The metric by which clients' own data are reported."""
        return self.client_metric or self.followed

    @property
    def metrics(self) -> tuple[str, ...]:
        """All that are measured after the last round, each once."""
        named = [self.metric, self.followed, self.own, *self.other_metrics, *self.optional_metrics]
        return tuple(dict.fromkeys(named))

    @property
    def round_metrics(self) -> tuple[str, ...]:
        """Those that are measured after rounds."""
        return (self.followed,) if self.round_metric else self.metrics

    @property
    def client_metrics(self) -> tuple[str, ...]:
        """Those that are measured on clients' own data."""
        return (self.client_metric,) if self.client_metric else self.round_metrics


class Evaluation(Metrics):
    """What is measured, when, and the target of the convergence columns.

    Args:
        target: value of the followed metric that "rounds to target" and "uplink to target" wait for.
        personalized_clients: clients whose own held-out data are evaluated in the end; 0 when left out. A suite
            with `[personalization]` says it there.
        personalized_steps: local steps that each of them takes before that, from what it kept, at the training rate; 0
            when left out.
    """

    target: Annotated[float, Field(allow_inf_nan=False)]
    personalized_clients: EvaluatedClients = 0
    personalized_steps: OwnSteps = 0


class Seeds(Strict):
    """Leaderboard seeds, and the one that tuning may see.

    Args:
        leaderboard: seeds that a ranked row must have, each once.
        tuning: the one seed that tuning sees; never one of the others.
        references: seeds of reference rows, some of the leaderboard's with the first; all of them when left out.
    """

    leaderboard: tuple[Seed, ...]
    tuning: Seed
    references: tuple[Seed, ...] = ()

    def of(self, *, ranked: bool) -> tuple[int, ...]:
        """Those that a row must have, ranked or not."""
        return self.leaderboard if ranked else self.references or self.leaderboard


class Contender(Strict):
    """A row of the table: a strategy on an adapter.

    Args:
        name: of the row.
        strategy: the federated method.
        adapter: what is trained on the backbone and travels.
        learning_rate: of the local optimizer.
        ranked: `false` makes it a reference row; true when left out.
        uplink: compressors of what the client changed, the first one first; none when left out.
        downlink: compressors of what the server sends, the first one first; none when left out.
        personalization: what its clients do otherwise than `[personalization]` says.
        example_dp: differential privacy for single examples in local training; none when left out.
        mechanism: what lets one change of a round through to the strategy; updates reach it one by one when left out.
    """

    name: Annotated[str, Field(pattern=NAME.pattern)]
    strategy: Annotated[Component, OfKind("strategy")]
    adapter: Annotated[Component, OfKind("adapter")]
    learning_rate: PositiveFloat
    ranked: bool = True
    uplink: Annotated[tuple[Component, ...], OfKind("compressor")] = ()
    downlink: Annotated[tuple[Component, ...], OfKind("compressor")] = ()
    personalization: OwnWay | None = None
    example_dp: ExampleDP | None = None
    mechanism: Annotated[Component | None, OfKind("mechanism")] = None


Grid = dict[str, tuple[dict[str, int | float | str], ...]]


class Tuning(Strict):
    """The tuning rule, for `fedgen-bench tune`.

    Args:
        rounds: rounds of a trial.
        grid: by contender, a list of trials, each a table of overrides of the contender's values; judged on validation.
        personalization: as `grid`, judged on a slice of clients' own training parts, which nobody trains on (see
            `[personalization]`); none when left out.
    """

    rounds: Positive
    grid: Grid
    personalization: Grid = Field(default_factory=dict)


class SweepPoint(Strict):
    """A point of a sweep's axis.

    Args:
        value: on the axis, each once; two points or more.
        set: values of the suite that hold at this point, by path as in `--set`.
    """

    value: Annotated[float, Field(allow_inf_nan=False)]
    set: Annotated[dict[str, int | float], Field(min_length=1)]


class Sweep(Strict):
    """An ablation of another suite: some contenders run once for every point of an axis.

    Args:
        of: the suite that this one is an ablation of.
        axis: what is varied: `rank`, `epochs`, `alpha`, ...
        contenders: those that run once for every point; the others run once.
        point: the axis.
    """

    of: Annotated[str, Field(pattern=NAME.pattern)]
    axis: Annotated[str, Field(pattern=NAME.pattern)]
    contenders: Annotated[tuple[str, ...], Field(min_length=1)]
    point: Annotated[tuple[SweepPoint, ...], Field(min_length=2)]


class SuiteSpec(Strict):
    """A whole suite, validated.

    Args:
        suite: what it is called.
        task: data, backbone, loss and evaluation.
        partitioner: how the task's data are split over clients.
        federation: population, cohort and budget in rounds.
        training: local work of one client in one round, equal for every contender.
        evaluation: what is measured, when, and the target of the convergence columns.
        seeds: leaderboard seeds, and the one that tuning may see.
        contender: the rows of the table.
        attack: what hostile clients do to their updates; nobody is hostile when left out.
        devices: what clients run on, and when a round ends by the simulated clock; no clock runs when left out.
        personalization: how clients go on by themselves after the last round; as `evaluation` says when left out.
        tuning: the tuning rule, for `fedgen-bench tune`.
        sweep: makes it an ablation of another suite: some contenders run once for every point of an axis.
    """

    suite: SuiteHead
    task: Annotated[Task, OfKind("task")]
    partitioner: Annotated[Component, OfKind("partitioner")]
    federation: Federation
    training: Training
    evaluation: Evaluation
    seeds: Seeds
    contender: tuple[Contender, ...]
    attack: Annotated[Attack | None, OfKind("attack")] = None
    devices: Devices | None = None
    personalization: Personalization | None = None
    tuning: Tuning | None = None
    sweep: Sweep | None = None
