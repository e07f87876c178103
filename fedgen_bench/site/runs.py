"""What stands behind a row: every run with its digest, environment and commit, and how to run it again."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fedgen_bench.base.digits import show, show_bytes
from fedgen_bench.results.record import Record
from fedgen_bench.results.table import Table
from fedgen_bench.site.grid import anchor_of

_SHORT = 12


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run in words."""

    seed: int
    digest: str
    quality: str
    own: str
    uplink: str
    status: str
    reason: str
    environment: str
    commit: str


@dataclass(frozen=True, kw_only=True)
class Behind:
    """A contender's runs, its configuration flat by path, and the command that runs it again."""

    contender: str
    anchor: str
    runs: tuple[Run, ...]
    configuration: tuple[tuple[str, str], ...]
    command: str


def behind(table: Table, records: Sequence[Record]) -> tuple[Behind, ...]:
    """For every row that records of the suite itself stand behind, in the table's order."""
    by_name: dict[str, list[Record]] = {}
    for record in records:
        if not record.off_suite:
            by_name.setdefault(record.contender, []).append(record)
    return tuple(_behind(table, by_name[row["contender"]]) for row in table.rows if row["contender"] in by_name)


def _behind(table: Table, records: Sequence[Record]) -> Behind:
    first = records[0]
    config = {key: value for key, value in first.config.to_json().items() if key != "seed"}
    return Behind(
        contender=first.contender,
        anchor=anchor_of(first.contender),
        runs=tuple(_run(table, record) for record in sorted(records, key=lambda one: one.seed)),
        configuration=tuple(_flat(config)),
        command=shlex.join(
            ["fedgen-bench", "reproduce", f"leaderboards/{table.suite}", "--contender", first.contender]
        ),
    )


def _run(table: Table, record: Record) -> Run:
    environment = record.environment
    commit = str(environment.get("commit") or "")
    own = record.metrics.get(f"personalized/{table.own.metric}/mean")
    return Run(
        seed=record.seed,
        digest=record.digest,
        quality=show(record.metrics.get(f"test/{table.metric}")),
        own=show(own),
        uplink=show_bytes(record.bytes.up.encoded or None),
        status=record.status,
        reason=record.reason,
        environment=_machine(environment),
        commit=commit[:_SHORT] or "–",
    )


def _machine(environment: Mapping[str, Any]) -> str:
    """Processor, device and the libraries that numbers hang on most."""
    libraries = environment.get("libraries") or {}
    where = environment.get("accelerator") or environment.get("processor") or "–"
    versions = (f"{name} {libraries[name]}" for name in ("fedgen-bench", "torch") if name in libraries)
    told = (
        where, environment.get("instruction_set"), environment.get("device"),
        f"Python {environment.get('python', '–')}", *versions,
    )  # fmt: skip
    return ", ".join(str(one) for one in told if one)


def _flat(table: Mapping[str, Any], path: str = "") -> Iterable[tuple[str, str]]:
    """Values that say something, by dotted path."""
    for key, value in table.items():
        here = f"{path}.{key}" if path else str(key)
        if isinstance(value, Mapping):
            yield from _flat(value, here)
        elif isinstance(value, list) and any(isinstance(one, Mapping) for one in value):
            for i, one in enumerate(value):
                yield from _flat(one, f"{here}.{i}") if isinstance(one, Mapping) else [(f"{here}.{i}", str(one))]
        elif value not in (None, "", [], {}):
            yield here, ", ".join(map(str, value)) if isinstance(value, list) else str(value)
