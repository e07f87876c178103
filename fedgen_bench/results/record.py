"""A published record: what one cell was and what came of it. `results.json` holds one a cell, in schema 1.

The types are the schema: `fedgen_bench.results.published` holds a stranger's file against them, strictly. `from_json`
takes a record as it comes and keeps every value as it is, so that it is written with the bytes that it was read from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Protocol, Self

from pydantic import ConfigDict, Field, GetPydanticSchema

from fedgen_bench.contract.reports import Privacy
from fedgen_bench.results.clock import Clock
from fedgen_bench.results.costs import Costs
from fedgen_bench.results.leaks import Leaks
from fedgen_bench.suite.cellconfig import CellConfig

Count = Annotated[int, Field(ge=0, le=2**53)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
MaybeSha256 = Annotated[str, Field(pattern="^([0-9a-f]{64})?$")]
ClientId = Annotated[str, Field(pattern="^[0-9]{1,9}$")]
ModelName = Literal["global", "kept", "personalized"]
CohortKind = Literal["sampled", "pooled", "none"]
Unfinished = Literal["failed", "diverged", "crashed", "running"]
SHOWN = ("showcase", "sample")  # what a model generates, where it does
ONLY_WHERE_ANY = (*SHOWN, "halves", "leaks", "costs", "clock", "privacy")  # no key stands for one that there is none of
Nothing = Annotated[dict[str, Any], Field(max_length=0)]


def _read_as(written: object) -> GetPydanticSchema:
    """Of a field that is held against another type than its values have here."""
    return GetPydanticSchema(lambda _, handler: handler(written))


class _Message(Protocol):
    @property
    def encoded_bytes(self) -> int: ...
    @property
    def tensor_bytes(self) -> int: ...
    @property
    def header_bytes(self) -> int: ...


class _Strict:
    __pydantic_config__: ClassVar = ConfigDict(strict=True, extra="forbid")


@dataclass(frozen=True, kw_only=True)
class Booked(_Strict):
    """Bytes of one direction over a run."""

    encoded: Count
    headers: Count
    messages: Count
    tensors: Count

    @classmethod
    def of(cls, messages: Sequence[_Message]) -> Self:
        """The sums over messages."""
        return cls(
            encoded=sum(one.encoded_bytes for one in messages),
            headers=sum(one.header_bytes for one in messages),
            messages=len(messages),
            tensors=sum(one.tensor_bytes for one in messages),
        )


@dataclass(frozen=True, kw_only=True)
class Traffic(_Strict):
    """Bytes of both directions."""

    down: Booked
    up: Booked

    @property
    def ways(self) -> tuple[tuple[str, Booked], ...]:
        """Each direction with its name."""
        return ("down", self.down), ("up", self.up)


@dataclass(frozen=True, kw_only=True)
class Origin(_Strict):
    """Where a component came from."""

    name: str
    distribution: str
    version: str
    source_sha256: MaybeSha256


@dataclass(frozen=True, kw_only=True)
class Digests(_Strict):
    """What is paired."""

    batches: Sha256
    cohort: Sha256
    initial: Sha256
    partition: Sha256


@dataclass(frozen=True, kw_only=True)
class Facts(_Strict):
    """What a finished run says about its model and data.

    Args:
        data: sha256 by name of what the task read.
        final_sha256: of the exported global tensors; empty when there is no global model.
    """

    cohort_kind: CohortKind
    trainable_params: Count
    backbone_params: Annotated[Count, Field(ge=1)]
    data: Mapping[str, str]
    final_sha256: MaybeSha256


class Evaluated(NamedTuple):
    """The followed metric after so many rounds, and the uplink bytes of all clients until then."""

    n_rounds: int
    value: float
    uplink_bytes: int


class Refused(NamedTuple):
    """An update that the gate kept out, and the code of why."""

    round_index: int
    client_id: int
    code: str


@dataclass(frozen=True, kw_only=True)
class _Run(_Strict):
    """What every record says.

    Args:
        config: everything that determined the result.
        digest: of the configuration.
        off_suite: the `--set` overrides; such a run is shown, never ranked.
        client_rounds: how often a client was asked.
        provenance: where each component came from, by its kind (a compressor's with its name).
    """

    contender: str
    seed: int
    config: CellConfig
    digest: Annotated[str, Field(pattern="^[0-9a-f]{24}$")]
    off_suite: tuple[str, ...]
    curve: Annotated[tuple[Evaluated, ...], _read_as(tuple[tuple[int, float, Count], ...])]
    bytes: Traffic
    client_rounds: Count
    quarantined: Annotated[tuple[Refused, ...], _read_as(tuple[tuple[Count, int, str], ...])]
    provenance: Mapping[str, Origin]
    environment: Mapping[str, Any]

    @property
    def name(self) -> str:
        """`contender/seed`."""
        return f"{self.contender}/{self.seed}"

    @property
    def method(self) -> str:
        """The contender, without the point of a sweep that it was run at."""
        return self.config.point.contender if self.config.point else self.contender

    @property
    def followed(self) -> str:
        """The metric of the curve."""
        return self.config.evaluation.followed

    @property
    def own(self) -> str:
        """The metric of clients' own data."""
        return self.config.evaluation.own


@dataclass(frozen=True, kw_only=True)
class Done(_Run):
    """Of a run that finished.

    Args:
        metrics: by `<split>/<metric>` or `<model>/<metric>/<figure>`.
        per_client: clients' metric by model and client.
        showcase: base64 of a PNG of what the global model generates; empty when none is published.
        sample: text that it generates; empty when none is published.
        halves: as `per_client`, on either half of a client's data; empty where the task gives none.
        leaks: what models give away of planted secrets; None where there are none.
        costs: what training asked of clients' devices; None where nobody counted.
        clock: the run by the simulated clock; None where the suite has no devices, or nobody was asked.
        privacy: what training guarantees; None where it guarantees nothing.
    """

    status: Literal["done"] = "done"
    reason: Annotated[str, Field(max_length=0)]
    metrics: Annotated[Mapping[str, float], Field(min_length=1)]
    per_client: Mapping[ModelName, Mapping[ClientId, float]]
    digests: Digests
    facts: Facts
    showcase: str = ""
    sample: str = ""
    halves: Mapping[ModelName, Mapping[ClientId, tuple[float, float]]] = field(default_factory=dict)
    leaks: Leaks | None = None
    costs: Costs | None = None
    clock: Clock | None = None
    privacy: Privacy | None = None

    @property
    def answers(self) -> int:
        """How often a client that was asked sent an update; on devices, fewer than `client_rounds`."""
        return self.client_rounds - (0 if self.clock is None else len(self.clock.missed))

    @property
    def on_slow_devices(self) -> float | None:
        """Mean over clients on the slowest tenth of devices: their own model where they have one, else the global."""
        own = self.per_client.get("personalized") or self.per_client.get("global") or {}
        slow = () if self.clock is None else self.clock.slow
        values = [own[str(client)] for client in slow if str(client) in own]
        return math.fsum(values) / len(values) if values else None


@dataclass(frozen=True, kw_only=True)
class Ended(_Run):
    """Of a run that did not finish: its committed rounds, and why; published are only those that failed or diverged."""

    status: Unfinished
    reason: Annotated[str, Field(min_length=1)]
    metrics: Nothing
    per_client: Nothing
    digests: Nothing
    facts: Nothing


Record = Done | Ended
_LATER: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "leaks": Leaks.of,
    "costs": Costs.of,
    "clock": Clock.of,
    "privacy": lambda table: Privacy(**table),
}


def from_json(raw: Mapping[str, Any]) -> Record:
    """The record of a table that has the schema, as `to_json` gives it.

    Raises:
        ValueError: its configuration is not as runs write it.
    """
    made = {
        **raw,
        "config": CellConfig.from_json(raw["config"]),
        "off_suite": tuple(raw["off_suite"]),
        "curve": tuple(Evaluated(*one) for one in raw["curve"]),
        "bytes": Traffic(**{way: Booked(**one) for way, one in raw["bytes"].items()}),
        "quarantined": tuple(Refused(*one) for one in raw["quarantined"]),
        "provenance": {key: Origin(**one) for key, one in raw["provenance"].items()},
    }
    if raw["status"] != "done":
        return Ended(**made)
    halves = {model: {i: tuple(two) for i, two in of.items()} for model, of in raw.get("halves", {}).items()}
    later = {name: read(raw[name]) for name, read in _LATER.items() if name in raw}
    return Done(
        **made | later | {"halves": halves, "digests": Digests(**raw["digests"]), "facts": Facts(**raw["facts"])}
    )


def to_json(record: Record) -> dict[str, Any]:
    """As `results.json` has it."""
    table = {**asdict(record), "config": record.config.to_json()}
    if record.status == "done" and record.costs is not None:
        table["costs"] = record.costs.to_json()
    return {name: value for name, value in table.items() if value or name not in ONLY_WHERE_ANY}
