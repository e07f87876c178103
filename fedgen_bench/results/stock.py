"""What a store holds, run by run, and how a run leaves it: its rows in one transaction, then its files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fedgen_bench.base.files import disk_error, inside
from fedgen_bench.results.rows import RunRow, count_row
from fedgen_bench.results.storage import CELLS, read_runs

if TYPE_CHECKING:
    from fedgen_bench.results.database import Database
    from fedgen_bench.suite.cells import Purpose


@dataclass(frozen=True, kw_only=True)
class StockedRun:
    """A run of a store.

    Args:
        purpose: `leaderboard`, or `tune` for a trial.
        status: `done`, `diverged`, `failed`, or `running` for one that has not ended.
        reason: why it did not end well; empty when it did.
        shown: whether tables have it: of one contender, seed and overrides the run that was asked for last.
        size_bytes: of its files, rows in the database left out.
    """

    identity: str
    suite: str
    suite_version: int
    contender: str
    seed: int
    purpose: Purpose
    off_suite: tuple[str, ...]
    status: str
    reason: str
    n_rounds: int
    seconds: float
    shown: bool
    size_bytes: int

    @property
    def name(self) -> str:
        """`suite/contender/seed`."""
        return f"{self.suite}/{self.contender}/{self.seed}"


def stocked(db: Database, root: Path) -> list[StockedRun]:
    """All runs, by suite, contender, seed and age. Raises StoreError when a row was changed or is missing."""
    with db.snapshot():
        rows = sorted(read_runs(db), key=lambda one: (*_label(one), one.sequence))
    latest = {_label(row): row.identity for row in rows}
    return [_stocked(row, root, shown=latest[_label(row)] == row.identity) for row in rows]


def remove(db: Database, root: Path, identities: Collection[str]) -> None:
    """Take runs out of a store that is open for writing.

    A process that dies in between leaves files of no run, which `strays` finds.

    Raises:
        StoreError: it cannot be written.
    """
    with db.transaction():
        db.write("DELETE FROM runs WHERE identity = ?", *((one,) for one in identities))
        db.write("UPDATE store SET (n_runs, checksum) = (?, ?)", count_row(db.rows("SELECT count(*) FROM runs")[0][0]))
    clear(inside(root, CELLS, one) for one in identities)


def strays(db: Database, root: Path) -> list[Path]:
    """Folders of runs that the store has not."""
    known = {row[0] for row in db.rows("SELECT identity FROM runs")}
    folders = (root / CELLS).iterdir() if (root / CELLS).is_dir() else ()
    return sorted(one for one in folders if one.name not in known and one.is_dir() and not one.is_symlink())


def clear(folders: Iterable[Path]) -> None:
    """Remove folders that are there. Raises StoreError."""
    for folder in folders:
        try:
            if folder.exists():
                shutil.rmtree(folder)
        except OSError as error:
            raise disk_error(error, folder) from error


def size_of(folder: Path) -> int:
    """Bytes of a folder's files."""
    return sum(one.lstat().st_size for one in folder.glob("*"))


def _label(row: RunRow) -> Sequence[object]:
    """What tables tell runs apart by; a trial is told apart by its settings."""
    own = row.identity if row.purpose == "tune" else ""
    return row.suite, row.suite_version, row.purpose, row.contender, row.seed, row.off_suite, own


def _stocked(row: RunRow, root: Path, *, shown: bool) -> StockedRun:
    return StockedRun(
        identity=row.identity,
        suite=row.suite,
        suite_version=row.suite_version,
        contender=row.contender,
        seed=row.seed,
        purpose=row.purpose,
        off_suite=tuple(json.loads(row.off_suite)),
        status=row.status,
        reason=row.reason,
        n_rounds=row.n_rounds,
        seconds=row.seconds,
        shown=shown,
        size_bytes=size_of(root / CELLS / row.identity),
    )
