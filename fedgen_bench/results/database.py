"""The SQLite file of a results store: opened, checked, read, written; whatever SQLite raises is a StoreError."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fedgen_bench.base.errors import StoreError
from fedgen_bench.results.rows import count_row

VERSION = 2
_SCHEMA = """
CREATE TABLE store (n_runs INTEGER NOT NULL, checksum TEXT NOT NULL) STRICT;
CREATE TABLE runs (
    identity TEXT PRIMARY KEY, suite TEXT NOT NULL, suite_version INTEGER NOT NULL, contender TEXT NOT NULL,
    seed INTEGER NOT NULL, purpose TEXT NOT NULL, off_suite TEXT NOT NULL, config TEXT NOT NULL, content TEXT NOT NULL,
    environment TEXT NOT NULL, provenance TEXT NOT NULL, status TEXT NOT NULL, reason TEXT NOT NULL,
    result TEXT NOT NULL, seconds REAL NOT NULL, sequence INTEGER NOT NULL, n_rounds INTEGER NOT NULL,
    checksum TEXT NOT NULL
) STRICT;
CREATE TABLE rounds (
    run TEXT NOT NULL REFERENCES runs ON DELETE CASCADE, round INTEGER NOT NULL, report TEXT NOT NULL,
    keeps TEXT NOT NULL, state_sha256 TEXT NOT NULL, checksum TEXT NOT NULL, PRIMARY KEY (run, round)
) STRICT;
CREATE TABLE ledger (
    run TEXT NOT NULL, round INTEGER NOT NULL, client INTEGER NOT NULL, direction TEXT NOT NULL, phase TEXT NOT NULL,
    encoded_bytes INTEGER NOT NULL, tensor_bytes INTEGER NOT NULL, header_bytes INTEGER NOT NULL,
    FOREIGN KEY (run, round) REFERENCES rounds ON DELETE CASCADE
) STRICT;
CREATE INDEX ledger_by_round ON ledger (run, round);
CREATE TABLE metrics (
    run TEXT NOT NULL, round INTEGER NOT NULL, name TEXT NOT NULL, value REAL NOT NULL,
    FOREIGN KEY (run, round) REFERENCES rounds ON DELETE CASCADE
) STRICT;
CREATE INDEX metrics_by_round ON metrics (run, round);
"""
_RAISED = (sqlite3.Error, UnicodeError, OverflowError, MemoryError)  # by `sqlite3`, the others on damaged files


def _unwritable(path: Path) -> str:
    """How SQLite opens a file in a folder that cannot be written; one that was closed well needs no other beside it."""
    if os.access(path.parent, os.W_OK, effective_ids=True):
        return ""
    return "?mode=ro" if path.with_name(f"{path.name}-wal").exists() else "?mode=ro&immutable=1"


def _is_empty(db: sqlite3.Connection) -> bool:
    return bool(db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0)


class Database:
    """One connection (WAL, synchronous=FULL).

    Args:
        path: the file.
        may_begin: whether an empty file is a fresh database, and not one that was emptied.
        read_only: nothing is written; the folder may be one that cannot be.

    Raises:
        StoreError: it cannot be opened, is damaged, or is of another version; nothing was changed.
    """

    def __init__(self, path: Path, *, may_begin: bool, read_only: bool = False) -> None:
        self.path = path
        self._db: sqlite3.Connection | None = None
        try:
            address = path.absolute().as_uri() + (_unwritable(path) if read_only else "")
            self._db = sqlite3.connect(address, timeout=60, isolation_level=None, uri=True)
            self._check_version(self._db, may_begin=may_begin and not read_only)
            if read_only:
                self._db.execute("PRAGMA query_only=ON")
            else:
                self._prepare(self._db)
            if (problem := self._db.execute("PRAGMA integrity_check(1)").fetchone()[0]) != "ok":
                raise self.damaged(problem)
        except _RAISED as error:
            self.close()
            raise self._told(error) from error
        except StoreError:
            self.close()
            raise

    def _told(self, error: BaseException) -> StoreError:
        if isinstance(error, sqlite3.OperationalError):  # mostly the disk's fault, or another process's
            return StoreError(f"{self.path} cannot be used: {error}. Nothing was changed.")
        return self.damaged(str(error) or type(error).__name__)

    def _check_version(self, db: sqlite3.Connection, *, may_begin: bool) -> None:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        empty = _is_empty(db)
        if version > VERSION:
            raise StoreError(
                f"{self.path} was written by a newer fedgen-bench (schema {version}, this one knows {VERSION}). "
                "Upgrade."
            )
        if 0 < version < VERSION:
            raise StoreError(
                f"{self.path} was written by an older fedgen-bench (schema {version}, this one writes {VERSION}). "
                "Publish it with the version that wrote it, or name another folder with `--runs`."
            )
        if (empty and not may_begin) or (version != VERSION and not (empty and version == 0)):
            said = "it is empty, with cells beside it" if empty else f"its schema is {version}"
            raise self.damaged(said)

    def _prepare(self, db: sqlite3.Connection) -> None:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA foreign_keys=ON")
        if _is_empty(db):
            db.execute("BEGIN IMMEDIATE")
            if _is_empty(db):
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    db.execute(statement)
                db.execute("INSERT INTO store VALUES (?, ?)", count_row(0))
                db.execute(f"PRAGMA user_version={VERSION}")
            db.execute("COMMIT")

    def damaged(self, what: str) -> StoreError:
        """The error for a database that cannot be trusted, and what to do."""
        why = " ".join(what.split())
        return StoreError(
            f"{self.path} is damaged ({why}). Move it away and run again, or restore a copy; nothing was changed."
        )

    def close(self) -> None:
        """Release the file."""
        if self._db is not None:
            self._db.close()

    @property
    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            raise StoreError(f"{self.path} is closed.")
        return self._db

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """All rows of a query. Raises StoreError."""
        try:
            return self._open.execute(statement, values).fetchall()
        except _RAISED as error:
            raise self._told(error) from error

    def write(self, statement: str, *rows: tuple[Any, ...]) -> None:
        """Within a transaction: a statement, once for each row of values."""
        self._open.executemany(statement, rows)

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """All queries inside see one state, whatever others write meanwhile."""
        self.rows("BEGIN")
        try:
            yield
        finally:
            with contextlib.suppress(sqlite3.Error):
                self._open.execute("COMMIT")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or nothing. Raises StoreError."""
        try:
            self._open.execute("BEGIN IMMEDIATE")
            yield
            self._open.execute("COMMIT")
        except _RAISED as error:
            self._roll_back()
            if "disk is full" in str(error) or "disk I/O" in str(error):
                raise StoreError(
                    f"No space left on the disk of {self.path.parent}. Free some and run the same command again."
                ) from error
            raise StoreError(f"The results store in {self.path.parent} refused a write: {error}.") from error
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._open.execute("ROLLBACK")
