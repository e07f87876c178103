"""Rows of the store as values: what each column holds, and checksums that cover every one of them."""

from __future__ import annotations

import dataclasses
import json
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from fedgen_bench.base.errors import StoreError
from fedgen_bench.contract.reports import LedgerEntry, Quarantine, RoundClock, RoundReport, RunResult, TimedClient
from fedgen_bench.contract.seeds import digest
from fedgen_bench.results.record import ONLY_WHERE_ANY
from fedgen_bench.suite.cellconfig import CellConfig
from fedgen_bench.suite.cells import CellSpec, Purpose

RUNNING = "running"
_REPORT = [column.name for column in dataclasses.fields(RoundReport) if column.name != "ledger"]
_MESSAGE = operator.attrgetter(*(column.name for column in dataclasses.fields(LedgerEntry)))


def checksum(values: Iterable[Any]) -> str:
    """Hex sha256 over values of any kind, so that a changed type is told as well."""
    return digest(json.dumps(list(values), default=repr))


def text(value: Any) -> str:
    """JSON, the same for equal values."""
    return json.dumps(value, sort_keys=True)


def count_row(n_runs: int) -> tuple[Any, ...]:
    """The one row of table `store`."""
    return (n_runs, checksum(["store", n_runs]))


@dataclass(frozen=True, kw_only=True)
class RunRow:
    """A row of table `runs`, column by column; JSON columns as text."""

    identity: str
    suite: str
    suite_version: int
    contender: str
    seed: int
    purpose: Purpose
    off_suite: str
    config: str
    content: str
    environment: str
    provenance: str
    status: str
    reason: str
    result: str
    seconds: float
    sequence: int
    n_rounds: int

    @classmethod
    def of(cls, spec: CellSpec, environment: Mapping[str, Any], provenance: Mapping[str, Any], sequence: int) -> Self:
        """A run that begins."""
        return cls(
            identity=spec.identity,
            suite=spec.suite,
            suite_version=spec.suite_version,
            contender=spec.contender,
            seed=spec.seed,
            purpose=spec.purpose,
            off_suite=text(spec.off_suite),
            config=text(spec.config.to_json()),
            content=text(spec.content),
            environment=text(environment),
            provenance=text(provenance),
            status=RUNNING,
            reason="",
            result="{}",
            seconds=0.0,
            sequence=sequence,
            n_rounds=0,
        )

    @classmethod
    def read(cls, values: Sequence[Any]) -> Self:
        """The row that has these values, by `RUN_COLUMNS`; the checksum is not looked at."""
        return cls(**{column.name: value for column, value in zip(dataclasses.fields(cls), values, strict=False)})

    @property
    def values(self) -> tuple[Any, ...]:
        """All columns, the checksum last."""
        own = tuple(getattr(self, column.name) for column in dataclasses.fields(self))
        return (*own, checksum(own))

    @property
    def name(self) -> str:
        """`suite/contender/seed`, for people."""
        return f"{self.suite}/{self.contender}/{self.seed}"

    @property
    def spec(self) -> CellSpec:
        """The run's spec.

        Raises:
            StoreError: its configuration is not one that this version writes.
        """
        try:
            config = CellConfig.from_json(json.loads(self.config))
        except ValueError as error:
            raise StoreError(f"{self.name} cannot be read: {error}. Use the version that made it.") from error
        return CellSpec(config, tuple(json.loads(self.off_suite)), self.purpose, json.loads(self.content))

    def ended(self, result: RunResult, seconds: float) -> RunRow:
        """The row of the run once it has a result."""
        body = {
            "metrics": dict(result.metrics),
            "per_client": result.per_client,
            "digests": dict(result.digests),
            "facts": dict(result.facts),
            **{name: shown for name in ONLY_WHERE_ANY if (shown := getattr(result, name))},
        }
        return dataclasses.replace(
            self, status=result.status, reason=result.reason, result=text(body), seconds=self.seconds + seconds
        )

    @property
    def run_result(self) -> RunResult:
        """What the run came to."""
        return RunResult(self.status, self.reason, **json.loads(self.result))


RUN_COLUMNS = ", ".join((*(one.name for one in dataclasses.fields(RunRow)), "checksum"))


@dataclass(frozen=True, kw_only=True)
class RoundRow:
    """A committed round: a row of table `rounds` with those of `ledger` and `metrics` that belong to it.

    Args:
        keeps: (round that wrote it, sha256) of every file of private states that counts after this round.
    """

    run: str
    number: int
    report: str
    keeps: tuple[tuple[int, str], ...]
    state_sha256: str
    ledger: tuple[tuple[Any, ...], ...]
    metrics: tuple[tuple[Any, ...], ...]

    @classmethod
    def of(cls, run: str, report: RoundReport, keeps: Sequence[tuple[int, str]], state_sha256: str) -> Self:
        """The row of a round that is to be committed."""
        table = {name: getattr(report, name) for name in _REPORT}
        table["quarantined"] = [dataclasses.asdict(one) for one in report.quarantined]
        if report.clock is None:  # rounds without one are stored as they were before there was any
            del table["clock"]
        else:
            table["clock"] = dataclasses.asdict(report.clock)
        return cls(
            run=run,
            number=report.round_index,
            report=text(table),
            keeps=tuple(keeps),
            state_sha256=state_sha256,
            ledger=tuple(map(_MESSAGE, report.ledger)),
            metrics=tuple(sorted((name, float(value)) for name, value in report.metrics.items())),
        )

    @property
    def checksum(self) -> str:
        """Over all columns of the row and all rows that belong to it."""
        return checksum(getattr(self, column.name) for column in dataclasses.fields(self))

    @property
    def values(self) -> tuple[Any, ...]:
        """All columns of table `rounds`."""
        return (self.run, self.number, self.report, text(self.keeps), self.state_sha256, self.checksum)

    @property
    def table(self) -> dict[str, Any]:
        """The report as JSON has it."""
        table: dict[str, Any] = json.loads(self.report)
        return table

    @property
    def round_report(self) -> RoundReport:
        """The report with its booked messages."""
        table = self.table
        quarantined = tuple(Quarantine(**one) for one in table.pop("quarantined"))
        if (clock := table.pop("clock", None)) is not None:
            clock = RoundClock(**clock | {"clients": tuple(TimedClient(**one) for one in clock["clients"])})
        columns = [column.name for column in dataclasses.fields(LedgerEntry)]
        ledger = tuple(LedgerEntry(**dict(zip(columns, message, strict=True))) for message in self.ledger)
        own = {"cohort": tuple(table["cohort"]), "quarantined": quarantined, "ledger": ledger, "clock": clock}
        return RoundReport(**table | own)
