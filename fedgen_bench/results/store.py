"""The results store: one SQLite database (one transaction a round) and, by cell, checksummed safetensors files.

Layout below the root: `fedgen.sqlite`, `lock`, and `cells/<identity>/` with `state-<round>.safetensors` (the strategy's
state after a round; the last two are kept), `keep-<round>.safetensors` (clients' private states) and
`final.safetensors` (what was exported); of a finished run the last one alone, unless it keeps what its clients have.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from fedgen_bench.base.errors import StoreError
from fedgen_bench.base.files import disk_error, inside
from fedgen_bench.base.killpoints import passing
from fedgen_bench.base.locks import taken
from fedgen_bench.contract.reports import RoundReport, RunResult
from fedgen_bench.results import stock
from fedgen_bench.results.database import Database
from fedgen_bench.results.journal import Journal
from fedgen_bench.results.rows import RUNNING, RunRow, count_row
from fedgen_bench.results.storage import CELLS, read_round_rows, read_run, read_runs, write_run
from fedgen_bench.suite.cells import CellSpec, Purpose

_NO_STORE = "There is no results store in {}. Run a suite first, or name the folder with `--runs`."


@dataclass(frozen=True, kw_only=True)
class StoredRun:
    """A run as the store has it."""

    spec: CellSpec
    status: str
    reason: str
    result: RunResult
    rounds: tuple[RoundReport, ...]
    environment: Mapping[str, Any]
    provenance: Mapping[str, Any]
    seconds: float


class Store:
    """Opened for writing it holds the store's lock (one coordinator at a time); its workers open it with `lock=False`.

    Args:
        root: the folder.
        lock: whether this is the coordinator.
        create: whether a store may begin here.
        read_only: neither locks, creates nor writes; for a store on a disk that cannot be written, too.

    Raises:
        StoreError: locked by another process, unreadable, damaged, or of another version.
    """

    def __init__(self, root: Path, *, lock: bool = True, create: bool = True, read_only: bool = False) -> None:
        self.root = root
        self._lock = None
        self._db: Any = None
        path = root / "fedgen.sqlite"
        if (read_only or not create) and not path.exists():
            raise StoreError(_NO_STORE.format(root))
        try:
            if not read_only:
                root.mkdir(parents=True, exist_ok=True)
            if lock and not read_only:
                self._lock = taken(root / "lock")
            may_begin = not path.exists() or not any((root / CELLS).glob("*"))
            if read_only and may_begin and not path.stat().st_size:
                raise StoreError(_NO_STORE.format(root))
        except BlockingIOError:
            self.close()
            raise StoreError(
                f"Another fedgen-bench is writing to {root}. Wait for it, or use another folder with `--runs`."
            ) from None
        except OSError as error:
            self.close()
            raise disk_error(error, root) from error
        try:
            self._db = Database(path, may_begin=may_begin, read_only=read_only)
            with self._db.snapshot():
                read_runs(self._db)
        except StoreError:
            self.close()
            raise

    def close(self) -> None:
        """Release database and lock."""
        if self._db is not None:
            self._db.close()
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def status(self, spec: CellSpec) -> str | None:
        """`done`, `running` (cut off), `diverged`, `failed`, or None when the run was never begun."""
        row = read_run(self._db, spec.identity)
        return None if row is None else row.status

    def begun_in(self, spec: CellSpec) -> Mapping[str, Any] | None:
        """The environment of the cell's committed rounds; None when there are none."""
        row = read_run(self._db, spec.identity)
        return None if row is None or not row.n_rounds else json.loads(row.environment)

    def journal(self, spec: CellSpec) -> Journal:
        """That of a run that was begun."""
        return Journal(self._db, spec.identity, inside(self.root, CELLS, spec.identity))

    def begin(self, spec: CellSpec, environment: Mapping[str, Any], provenance: Mapping[str, Any]) -> Journal:
        """Its journal; the run is `running` from now on, its committed rounds are kept."""
        with self._db.transaction():
            before = read_run(self._db, spec.identity)
            row = RunRow.of(spec, environment, provenance, self._next_sequence())
            if before is not None:
                row = replace(row, seconds=before.seconds, n_rounds=before.n_rounds)
            else:
                n_runs = self._db.rows("SELECT count(*) FROM runs")[0][0]
                self._db.write("UPDATE store SET (n_runs, checksum) = (?, ?)", count_row(n_runs + 1))
            write_run(self._db, row)
        passing("cell.inserted")
        return self.journal(spec)

    def shown(self, spec: CellSpec) -> None:
        """Of one contender and seed, the run that was asked for last stands in tables: from now on this one."""
        row = read_run(self._db, spec.identity)
        same = "suite = ? AND suite_version = ? AND contender = ? AND seed = ? AND purpose = ? AND off_suite = ?"
        if row is None:
            return
        own = (row.suite, row.suite_version, row.contender, row.seed, row.purpose, row.off_suite)
        if self._db.rows(f"SELECT max(sequence) FROM runs WHERE {same}", *own)[0][0] != row.sequence:  # noqa: S608 - fixed text
            with self._db.transaction():
                write_run(self._db, replace(row, sequence=self._next_sequence()))

    def _next_sequence(self) -> int:
        return int(self._db.rows("SELECT coalesce(max(sequence), 0) + 1 FROM runs")[0][0])

    def runs(self, suite: str, suite_version: int, purpose: Purpose = "leaderboard") -> list[StoredRun]:
        """All runs of a suite version, by contender and seed; of one contender and seed the latest begun.

        Raises:
            StoreError: a row is missing or was changed.
        """
        with self._db.snapshot():
            rows = [
                row
                for row in read_runs(self._db)
                if (row.suite, row.suite_version, row.purpose) == (suite, suite_version, purpose)
            ]
            latest: dict[Any, RunRow] = {}
            for row in sorted(rows, key=lambda one: (one.contender, one.seed, one.sequence)):
                label = row.identity if purpose == "tune" else (row.contender, row.seed, row.off_suite)
                latest[label] = row
            return [self._stored(row) for row in latest.values()]

    def metrics(self, suite: str) -> dict[str, Mapping[str, float]]:
        """Of every ended run of a suite under whatever version, by the digest of its settings."""
        with self._db.snapshot():
            rows = sorted(read_runs(self._db), key=lambda one: one.sequence)
        ended = (row for row in rows if row.suite == suite and row.status != RUNNING)
        return {row.spec.digest: row.run_result.metrics for row in ended}

    def stocked(self) -> list[stock.StockedRun]:
        """All runs, of whatever suite, version and purpose. Raises StoreError when a row was changed or is missing."""
        return stock.stocked(self._db, self.root)

    def strays(self) -> list[Path]:
        """Folders that are of no run."""
        return stock.strays(self._db, self.root)

    def remove(self, identities: Collection[str]) -> None:
        """Take runs out, rows and files. Raises StoreError."""
        stock.remove(self._db, self.root, identities)

    def _stored(self, row: RunRow) -> StoredRun:
        return StoredRun(
            spec=row.spec,
            status=row.status,
            reason=row.reason,
            result=row.run_result if row.status != RUNNING else RunResult(RUNNING, ""),
            rounds=tuple(one.round_report for one in read_round_rows(self._db, row)),
            environment=json.loads(row.environment),
            provenance=json.loads(row.provenance),
            seconds=row.seconds,
        )
