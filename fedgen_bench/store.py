"""The results store: one SQLite database (WAL, one transaction a round) and checksummed safetensors files.

Layout below the root: `fedgen.sqlite`, `lock`, and `cells/<digest>/` with `state-<round>.safetensors` (the strategy's
state after a round; the last two are kept), `keep-<round>.safetensors` (private states of that round's clients) and
`final.safetensors` (what was exported).
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from fedgen_bench.errors import StoreError
from fedgen_bench.files import disk_error, inside, sha256_of, write_atomic
from fedgen_bench.killpoints import passing
from fedgen_bench.records import LedgerEntry, Quarantine, RoundReport, RunResult
from fedgen_bench.seeds import digest
from fedgen_bench.suites import RunSpec

_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    digest TEXT PRIMARY KEY, suite TEXT NOT NULL, suite_version INTEGER NOT NULL, contender TEXT NOT NULL,
    seed INTEGER NOT NULL,
    purpose TEXT NOT NULL, off_suite TEXT NOT NULL, config TEXT NOT NULL, environment TEXT NOT NULL,
    provenance TEXT NOT NULL,
    status TEXT NOT NULL, reason TEXT NOT NULL, result TEXT NOT NULL, checksum TEXT NOT NULL, seconds REAL NOT NULL,
    sequence INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS rounds (
    run TEXT NOT NULL REFERENCES runs ON DELETE CASCADE, round INTEGER NOT NULL, report TEXT NOT NULL,
    checksum TEXT NOT NULL,
    state_sha256 TEXT NOT NULL, keep_sha256 TEXT NOT NULL, PRIMARY KEY (run, round)
) STRICT;
CREATE TABLE IF NOT EXISTS ledger (
    run TEXT NOT NULL, round INTEGER NOT NULL, client INTEGER NOT NULL, direction TEXT NOT NULL, phase TEXT NOT NULL,
    encoded_bytes INTEGER NOT NULL, tensor_bytes INTEGER NOT NULL, header_bytes INTEGER NOT NULL,
    FOREIGN KEY (run, round) REFERENCES rounds ON DELETE CASCADE
) STRICT;
CREATE INDEX IF NOT EXISTS ledger_by_round ON ledger (run, round);
CREATE TABLE IF NOT EXISTS metrics (
    run TEXT NOT NULL, round INTEGER NOT NULL, name TEXT NOT NULL, value REAL NOT NULL,
    FOREIGN KEY (run, round) REFERENCES rounds ON DELETE CASCADE
) STRICT;
CREATE INDEX IF NOT EXISTS metrics_by_round ON metrics (run, round);
"""
RUNNING = "running"


@dataclass(frozen=True)
class StoredRun:
    """A run as the store has it."""

    spec: RunSpec
    status: str
    reason: str
    result: RunResult
    rounds: tuple[RoundReport, ...]
    environment: Mapping[str, Any]
    provenance: Mapping[str, Any]
    seconds: float


@dataclass(frozen=True)
class Checkpoint:
    """Where a cut-off run goes on.

    Args:
        keep_rounds: by client, the round that wrote its private state.
        admitted_rounds: by client, the last round in which its update was admitted.
    """

    next_round: int
    state: bytes
    keep_rounds: Mapping[int, int]
    admitted_rounds: Mapping[int, int]


class Store:
    """Opened for writing it holds the store's lock (one coordinator at a time); its workers open it with `lock=False`.

    Raises:
        StoreError: locked by another process, unreadable, damaged, or of a newer version.
    """

    def __init__(self, root: Path, *, lock: bool = True, create: bool = True) -> None:
        self.root = root
        self._lock = None
        self._db: Any = None
        path = root / "fedgen.sqlite"
        if not create and not path.exists():
            raise StoreError(
                f"There is no results store in {root}. Run a suite first, or name the folder with `--runs`."
            )
        try:
            root.mkdir(parents=True, exist_ok=True)
            if lock:
                self._lock = (root / "lock").open("w")
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise StoreError(
                f"Another fedgen-bench is writing to {root}. Wait for it, or use another folder with `--runs`."
            ) from None
        except OSError as error:
            self.close()
            raise disk_error(error, root) from error
        try:
            self._db = sqlite3.connect(path, timeout=60, isolation_level=None)
            _prepare(self._db, path)
        except (sqlite3.Error, StoreError) as error:
            self.close()
            if isinstance(error, sqlite3.OperationalError):  # the disk's fault, or another process's
                raise StoreError(f"{path} cannot be used: {error}. Nothing was changed.") from error
            if isinstance(error, sqlite3.Error):
                raise StoreError(_damaged(path, str(error))) from error
            raise

    def close(self) -> None:
        """Release database and lock."""
        if self._db is not None:
            self._db.close()
        if self._lock is not None:
            self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield self._db
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            if "disk is full" in str(error) or "disk I/O" in str(error):
                raise StoreError(
                    f"No space left on the disk of {self.root}. Free some and run the same command again."
                ) from error
            raise StoreError(f"The results store in {self.root} refused a write: {error}.") from error
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise

    def status(self, spec: RunSpec) -> str | None:
        """`done`, `running` (cut off), `diverged`, `failed`, or None when the run was never begun."""
        row = self._db.execute("SELECT status FROM runs WHERE digest = ?", (spec.digest,)).fetchone()
        return row[0] if row else None

    def cell(self, spec: RunSpec) -> Cell:
        """The handle of a run that was begun."""
        return Cell(self, spec.digest, inside(self.root, "cells", spec.digest))

    def begin(self, spec: RunSpec, environment: Mapping[str, Any], provenance: Mapping[str, Any]) -> Cell:
        """The cell's handle; the run is `running` from now on, its committed rounds are kept."""
        with self._transaction() as db:
            sequence = db.execute("SELECT coalesce(max(sequence), 0) + 1 FROM runs").fetchone()[0]
            db.execute(
                "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', '{}', '', 0.0, ?) ON CONFLICT "
                "(digest) DO UPDATE SET "
                "status = excluded.status, reason = '', environment = excluded.environment, provenance = "
                "excluded.provenance, "
                "off_suite = excluded.off_suite, sequence = excluded.sequence",
                (
                    spec.digest, spec.suite, spec.suite_version, spec.contender, spec.seed, spec.purpose,
                    json.dumps(spec.off_suite),
                    json.dumps(spec.config, sort_keys=True), json.dumps(environment, sort_keys=True),
                    json.dumps(provenance, sort_keys=True),
                    RUNNING, sequence,
                ),
            )  # fmt: skip
        passing("cell.inserted")
        return self.cell(spec)

    def runs(self, suite: str, suite_version: int, purpose: str = "leaderboard") -> list[StoredRun]:
        """All runs of a suite version, by contender and seed; of one contender and seed the latest begun.

        Raises:
            StoreError: a row does not match its checksum.
        """
        rows = self._db.execute(
            "SELECT digest, contender, seed, off_suite, config, environment, provenance, status, reason, result, "
            "checksum, seconds FROM runs "
            "WHERE suite = ? AND suite_version = ? AND purpose = ? ORDER BY contender, seed, sequence",
            (suite, suite_version, purpose),
        ).fetchall()
        latest: dict[tuple[Any, ...], StoredRun] = {}
        for (
            key,
            contender,
            seed,
            off_suite,
            config,
            environment,
            provenance,
            status,
            reason,
            result,
            checksum,
            seconds,
        ) in rows:
            if status != RUNNING and digest(status, reason, result) != checksum:
                raise StoreError(
                    f"Run {suite}/{contender}/{seed} in {self.root} does not match its checksum. Delete its row and "
                    "run it again."
                )
            overrides = tuple(json.loads(off_suite))
            spec = RunSpec(suite, suite_version, contender, seed, json.loads(config), overrides, purpose)
            if spec.digest != key:
                raise StoreError(
                    f"Run {spec.name} in {self.root} does not match its digest. Delete its row and run it again."
                )
            label = key if purpose == "tune" else (contender, seed, overrides)
            latest[(label,)] = StoredRun(
                spec, status, reason, RunResult(status, reason, **json.loads(result)), self._rounds(key),
                json.loads(environment), json.loads(provenance), seconds,
            )  # fmt: skip
        return list(latest.values())

    def metrics(self, suite: str) -> dict[str, dict[str, float]]:
        """Of every ended run of a suite under whatever version, by digest; rows that are damaged are left out."""
        rows = self._db.execute("SELECT digest, status, reason, result, checksum FROM runs WHERE suite = ?", (suite,))
        return {
            key: json.loads(result)["metrics"]
            for key, status, reason, result, checksum in rows
            if status != RUNNING and digest(status, reason, result) == checksum
        }

    def _ledgers(self, run: str) -> dict[int, tuple[LedgerEntry, ...]]:
        """Booked messages by round, in the order in which they were booked."""
        found: dict[int, tuple[LedgerEntry, ...]] = {}
        for row in self._db.execute(
            "SELECT round, client, direction, phase, encoded_bytes, tensor_bytes, header_bytes FROM ledger WHERE "
            "run = ? ORDER BY rowid",
            (run,),
        ):
            found[row[0]] = (*found.get(row[0], ()), LedgerEntry(*row))
        return found

    def _rounds(self, run: str) -> tuple[RoundReport, ...]:
        ledgers = self._ledgers(run)
        rows = self._db.execute(
            "SELECT round, report, checksum FROM rounds WHERE run = ? ORDER BY round", (run,)
        ).fetchall()
        reports = []
        for number, text, checksum in rows:
            ledger = ledgers.get(number, ())
            if _round_checksum(text, ledger) != checksum:
                raise StoreError(
                    f"Round {number} of run {run} in {self.root} does not match its checksum. Delete the run's row "
                    "and run it again."
                )
            reports.append(_report(json.loads(text), ledger))
        return tuple(reports)


@dataclass(frozen=True)
class Cell:
    """Write access to one run."""

    store: Store
    digest: str
    folder: Path

    def checkpoint(self) -> Checkpoint | None:
        """The last good round, or None for a start from scratch; later rounds and damaged files are dropped."""
        db = self.store._db
        rows = db.execute(
            "SELECT round, report, checksum, state_sha256, keep_sha256 FROM rounds WHERE run = ? ORDER BY round",
            (self.digest,),
        ).fetchall()
        ledgers = self.store._ledgers(self.digest)
        good_prefix = 0
        for index, (number, text, checksum, _, keep_sha) in enumerate(rows):
            keep_ok = not keep_sha or _matches(self.folder / f"keep-{number:05d}.safetensors", keep_sha)
            if number != index or _round_checksum(text, ledgers.get(number, ())) != checksum or not keep_ok:
                break
            good_prefix = index + 1
        for number, _, _, state_sha, _ in reversed(rows[:good_prefix]):
            path = self.folder / f"state-{number:05d}.safetensors"
            if _matches(path, state_sha):
                self._drop_rounds_from(number + 1)
                keeps, admitted = dict[int, int](), dict[int, int]()
                for at, text, *_ in rows[: number + 1]:
                    table = json.loads(text)
                    refused = {one["client_id"] for one in table["quarantined"]}
                    keeps |= dict.fromkeys(table["kept"], at)
                    admitted |= dict.fromkeys((i for i in table["cohort"] if i not in refused), at)
                return Checkpoint(number + 1, path.read_bytes(), keeps, admitted)
        self._drop_rounds_from(0)
        return None

    def _drop_rounds_from(self, first: int) -> None:
        with self.store._transaction() as db:
            for table in ("ledger", "metrics", "rounds"):  # the first two by name: rows without their round go as well
                db.execute(f"DELETE FROM {table} WHERE run = ? AND round >= ?", (self.digest, first))  # noqa: S608 - fixed names
        for path in self.folder.glob("*"):
            kind, _, number = path.stem.partition("-")
            if path.name.endswith(".tmp") or (kind in {"state", "keep"} and number.isdigit() and int(number) >= first):
                path.unlink()

    def batch_digests(self) -> list[str]:
        """The batch digest of every committed round, in order."""
        rows = self.store._db.execute("SELECT report FROM rounds WHERE run = ? ORDER BY round", (self.digest,))
        return [json.loads(text)["batch_digest"] for (text,) in rows]

    def keep_file(self, round_index: int) -> Path:
        """Where the private states that were written in a round are."""
        return self.folder / f"keep-{round_index:05d}.safetensors"

    def commit_round(self, report: RoundReport, state: bytes, keep: bytes | None, kept: tuple[int, ...]) -> None:
        """Make a round durable: files first, then one transaction that names them by hash, then tidy up."""
        number = report.round_index
        state_sha = write_atomic(self.folder / f"state-{number:05d}.safetensors", state)
        keep_sha = write_atomic(self.keep_file(number), keep) if keep is not None else ""
        passing("round.saved")
        text = json.dumps(_report_table(report) | {"kept": kept}, sort_keys=True)
        with self.store._transaction() as db:
            passing("round.begun")
            db.execute(
                "INSERT INTO rounds VALUES (?, ?, ?, ?, ?, ?)",
                (self.digest, number, text, _round_checksum(text, report.ledger), state_sha, keep_sha),
            )
            passing("round.inserted")
            db.executemany(
                "INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [(self.digest, *dataclasses.astuple(one)) for one in report.ledger],
            )
            db.executemany(
                "INSERT INTO metrics VALUES (?, ?, ?, ?)",
                [(self.digest, number, name, value) for name, value in report.metrics.items()],
            )
            db.execute("UPDATE runs SET seconds = seconds + ? WHERE digest = ?", (report.seconds, self.digest))
            passing("ledger.inserted")
        passing("round.committed")
        (self.folder / f"state-{number - 2:05d}.safetensors").unlink(missing_ok=True)
        passing("round.cleaned")

    def finish(self, result: RunResult, final: bytes | None, seconds: float) -> None:
        """Make the result durable; exported tensors go to `final.safetensors`, a done run's checkpoints are removed."""
        if final is not None:
            write_atomic(self.folder / "final.safetensors", final)
        body = json.dumps(
            {
                "metrics": dict(result.metrics),
                "per_client": result.per_client,
                "digests": dict(result.digests),
                "facts": dict(result.facts),
                **({"showcase": result.showcase} if result.showcase else {}),
            },
            sort_keys=True,
        )
        with self.store._transaction() as db:
            db.execute(
                "UPDATE runs SET status = ?, reason = ?, result = ?, checksum = ?, seconds = seconds + ? WHERE "
                "digest = ?",
                (result.status, result.reason, body, digest(result.status, result.reason, body), seconds, self.digest),
            )
            passing("final.inserted")
        passing("final.committed")
        if result.status == "done":
            self.tidy()

    def tidy(self) -> None:
        """Remove the checkpoints of a done run; one that was killed between its end and this has them still."""
        for path in self.folder.glob("state-*.safetensors"):
            path.unlink()


def _matches(path: Path, sha256: str) -> bool:
    return path.is_file() and not path.is_symlink() and sha256_of(path) == sha256


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    """Durability, schema, and SQLite's own check of a database that was just opened."""
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("PRAGMA foreign_keys=ON")
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > _VERSION:
        raise StoreError(
            f"{path} was written by a newer fedgen-bench (schema {version}, this one knows {_VERSION}). Upgrade."
        )
    if version == 0:
        db.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}PRAGMA user_version={_VERSION};COMMIT;")
    if (problem := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
        raise StoreError(_damaged(path, problem))


def _damaged(path: Path, what: str) -> str:
    why = " ".join(what.split())
    return f"{path} is damaged ({why}). Move it away and run again, or restore a copy; nothing was changed."


def _round_checksum(text: str, ledger: tuple[LedgerEntry, ...]) -> str:
    return digest(text, json.dumps([dataclasses.astuple(one) for one in ledger]))


def _report_table(report: RoundReport) -> dict[str, Any]:
    table = dataclasses.asdict(report)
    del table["ledger"]
    return table


def _report(table: dict[str, Any], ledger: tuple[LedgerEntry, ...]) -> RoundReport:
    del table["kept"]
    quarantined = tuple(Quarantine(**one) for one in table.pop("quarantined"))
    return RoundReport(**table | {"cohort": tuple(table["cohort"]), "quarantined": quarantined, "ledger": ledger})
