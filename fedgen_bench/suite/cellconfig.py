"""A cell's configuration: everything that determines its result, and the JSON that is hashed, stored and published."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import Field, ValidationError

from fedgen_bench.suite.devices import ResolvedDevices
from fedgen_bench.suite.example_dp import ExampleDP
from fedgen_bench.suite.personalization import ResolvedWay
from fedgen_bench.suite.schema import Component, Federation, Metrics, Training
from fedgen_bench.suite.strict import EvaluatedClients, OwnSteps, Strict, plain


class Resolved(Component):
    """A component with all of its parameters, as the plugin had it that was installed."""

    params: dict[str, Any]
    version: str
    source_sha256: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")]

    @property
    def pairing(self) -> str:
        """The component as an axis of the seed tree: its name, version and parameters."""
        return canonical([self.name, self.version, self.params])


class ResolvedTask(Resolved):
    """The task, and those of its parameters that the streams go on to see otherwise (see `schema.Task`).

    Args:
        pairs_as: values that stand in the place of the parameters' own.
        pairs_without: parameters that came later (see `ComponentSpec.later`) and that the streams do not see.
    """

    pairs_as: dict[str, Any] = Field(default_factory=dict)
    pairs_without: tuple[str, ...] = ()

    @property
    def pairing(self) -> str:
        """As of any component, with the parameters that it pairs as."""
        seen = {name: one for name, one in self.params.items() if name not in self.pairs_without}
        return canonical([self.name, self.version, seen | self.pairs_as])


class ResolvedAttack(Resolved):
    """The attack, with the share of hostile clients."""

    fraction: float


class ResolvedContender(Strict):
    """The row: what is trained how, the compressors on its way, and what stands before the strategy."""

    name: str
    ranked: bool
    learning_rate: float
    strategy: Resolved
    adapter: Resolved
    uplink: tuple[Resolved, ...] = ()
    downlink: tuple[Resolved, ...] = ()
    example_dp: ExampleDP | None = None
    mechanism: Resolved | None = None


class Measurement(Metrics):
    """The suite's evaluation without its target, which determines no result."""

    personalized_clients: EvaluatedClients
    personalized_steps: OwnSteps


class AtPoint(Strict):
    """The point of a sweep that a contender runs at: the contender's own name, the axis, the value."""

    contender: str
    axis: str
    value: float


class CellConfig(Strict):
    """Everything that determines a cell's result, with all defaults filled in.

    Args:
        personalization: of a suite that has the table.
        personalization_trials: of a trial that compares several; all training is then without the slice of clients'
            training parts that they are measured on.
    """

    suite: str
    suite_version: int
    task: ResolvedTask
    partitioner: Resolved
    federation: Federation
    training: Training
    evaluation: Measurement
    seed: int
    contender: ResolvedContender
    attack: ResolvedAttack | None = None
    devices: ResolvedDevices | None = None
    point: AtPoint | None = None
    personalization: ResolvedWay | None = None
    personalization_trials: tuple[ResolvedWay, ...] = ()

    @property
    def own(self) -> ResolvedWay:
        """How clients go on by themselves; of a suite without the table as its `evaluation` says."""
        if self.personalization is not None:
            return self.personalization
        return ResolvedWay(
            clients=self.evaluation.personalized_clients,
            steps=self.evaluation.personalized_steps,
            start="kept",
            learning_rate=self.contender.learning_rate,
            interpolation=1.0,
        )

    @property
    def method(self) -> str:
        """The contender without the point that it runs at."""
        return self.point.contender if self.point else self.contender.name

    def components(self) -> Iterator[tuple[str, Resolved]]:
        """(kind, component) of everything that plugins bring to this cell, compressors and the attack included."""
        yield "task", self.task
        yield "partitioner", self.partitioner
        yield "strategy", self.contender.strategy
        yield "adapter", self.contender.adapter
        for one in (*self.contender.uplink, *self.contender.downlink):
            yield "compressor", one
        if self.attack is not None:
            yield "attack", self.attack
        if self.contender.mechanism is not None:
            yield "mechanism", self.contender.mechanism

    def to_json(self) -> dict[str, Any]:
        """What is hashed, stored and published."""
        return plain(self)

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> CellConfig:
        """The configuration that `to_json` has written.

        Raises:
            ValueError: it would have been written otherwise, with where on one line.
        """
        try:
            found = cls.model_validate_json(canonical(table))
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            raise ValueError(f"`{'.'.join(map(str, first['loc']))}` of a configuration: {first['msg']}") from None
        if odd := next(_differing(table, found.to_json()), None):
            raise ValueError(f"`{odd}` of a configuration is not as runs write it")
        return found


def _differing(read: Any, written: Any, path: str = "") -> Iterator[str]:
    """Paths at which two JSON values differ; 1 and 1.0 do, as digests see them."""
    if isinstance(read, dict) and isinstance(written, dict) and read.keys() == written.keys():
        for key, value in read.items():
            yield from _differing(value, written[key], f"{path}.{key}" if path else key)
    elif isinstance(read, dict) and isinstance(written, dict):
        yield from sorted(f"{path}.{key}" if path else key for key in read.keys() ^ written.keys())
    elif canonical(read) != canonical(written):
        yield path


def canonical(value: Any) -> str:
    """JSON text, the same for equal values; tables (`schema.Strict`) as `plain` has them."""
    return json.dumps(value, sort_keys=True, default=plain)


def provenance_key(kind: str, name: str) -> str:
    """Under which name a component's origin stands in `provenance`: its kind, of a compressor with its name."""
    return f"{kind} {name}" if kind == "compressor" else kind
