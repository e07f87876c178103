"""Reading and writing the store's rows; what was read is what was written, or a StoreError names the row."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.errors import StoreError
from fedgen_bench.results.rows import RUN_COLUMNS, RoundRow, RunRow, count_row

if TYPE_CHECKING:
    from fedgen_bench.results.database import Database

CELLS = "cells"


def _refused(db: Database, what: str, why: str) -> StoreError:
    return StoreError(
        f"{what} in {db.path.parent} {why}: the store was edited or damaged. Restore a copy of it, or move it away and "
        "run again."
    )


def _run_row(db: Database, values: tuple[Any, ...]) -> RunRow:
    row = RunRow.read(values)
    if row.values != values:
        raise _refused(db, f"Run {row.name}", "does not match its checksum")
    if row.spec.identity != row.identity:
        raise _refused(db, f"Run {row.name}", "does not match its digest")
    return row


def read_run(db: Database, identity: str) -> RunRow | None:
    """One run, or None. Raises StoreError when its row was changed."""
    found = db.rows(f"SELECT {RUN_COLUMNS} FROM runs WHERE identity = ?", identity)  # noqa: S608 - fixed names
    return _run_row(db, found[0]) if found else None


def read_runs(db: Database) -> list[RunRow]:
    """All runs. Raises StoreError when a row was changed or is missing."""
    found = [_run_row(db, values) for values in db.rows(f"SELECT {RUN_COLUMNS} FROM runs")]  # noqa: S608 - fixed names
    if db.rows("SELECT n_runs, checksum FROM store") != [count_row(len(found))]:
        raise _refused(db, "Table `runs`", f"has {len(found)} rows, which is not how many were written")
    for table in ("rounds", "ledger", "metrics"):
        if lost := db.rows(f"SELECT run FROM {table} WHERE run NOT IN (SELECT identity FROM runs) LIMIT 1"):  # noqa: S608 - fixed names
            raise _refused(db, f"Run {lost[0][0]}", f"is missing while table `{table}` has rows of it")
    return found


def write_run(db: Database, row: RunRow) -> None:
    """Within a transaction: insert the row, or put it in the place of the one of this run."""
    places = ", ".join("?" * len(row.values))
    db.write(
        f"INSERT INTO runs ({RUN_COLUMNS}) VALUES ({places}) ON CONFLICT (identity) "  # noqa: S608 - fixed names
        f"DO UPDATE SET ({RUN_COLUMNS}) = ({places})",
        (*row.values, *row.values),
    )


def read_round_rows(db: Database, run: RunRow, *, first: int = 0, strict: bool = True) -> list[RoundRow]:
    """A run's rounds from `first` on; when not `strict`, those before the first that was changed or is missing.

    Raises:
        StoreError: strict, and one was changed or is missing.
    """
    ledger: dict[int, list[tuple[Any, ...]]] = {}
    for message in db.rows(
        "SELECT round, client, direction, phase, encoded_bytes, tensor_bytes, header_bytes FROM ledger WHERE run = ? "
        "AND round >= ? ORDER BY rowid",
        run.identity,
        first,
    ):
        ledger.setdefault(message[0], []).append(message)
    metrics: dict[int, list[tuple[Any, ...]]] = {}
    wanted = "WHERE run = ? AND round >= ?"
    for number, *metric in db.rows(f"SELECT round, name, value FROM metrics {wanted}", run.identity, first):  # noqa: S608 - fixed names
        metrics.setdefault(number, []).append(tuple(metric))
    good: list[RoundRow] = []
    for number, report, keeps, state_sha256, own in db.rows(
        f"SELECT round, report, keeps, state_sha256, checksum FROM rounds {wanted} ORDER BY round",  # noqa: S608 - fixed names
        run.identity,
        first,
    ):
        expected = first + len(good)
        row = None
        if (files := _keeps(keeps)) is not None:
            row = RoundRow(
                run=run.identity,
                number=number,
                report=report,
                keeps=files,
                state_sha256=state_sha256,
                ledger=tuple(ledger.pop(number, [])),
                metrics=tuple(sorted(metrics.pop(number, []), key=repr)),
            )
        if number != expected or row is None or row.checksum != own:
            if strict:
                said = "is missing" if number != expected else "does not match its checksum"
                raise _refused(db, f"Round {expected} of run {run.name}", said)
            return good
        good.append(row)
    found = first + len(good)
    if strict and (found != run.n_rounds or ledger or metrics):
        raise _refused(db, f"Round {found} of run {run.name}", f"is missing: {run.n_rounds} were committed")
    return good


def _keeps(text: str) -> tuple[tuple[int, str], ...] | None:
    """Files of private states that count after a round; None when the text was changed."""
    try:
        return tuple((int(one), str(sha256)) for one, sha256 in json.loads(text))
    except (ValueError, TypeError, RecursionError):
        return None


def insert_round(db: Database, row: RoundRow) -> None:
    """Within a transaction: a committed round with its booked messages and metrics."""
    db.write("INSERT INTO rounds VALUES (?, ?, ?, ?, ?, ?)", row.values)
    if row.ledger:
        db.write("INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?, ?)", *((row.run, *one) for one in row.ledger))
    if row.metrics:
        db.write("INSERT INTO metrics VALUES (?, ?, ?, ?)", *((row.run, row.number, *one) for one in row.metrics))


def drop_rounds(db: Database, run: str, first: int) -> None:
    """Within a transaction: every row of a run's rounds from `first` on, also of rounds that are not there."""
    for table in ("ledger", "metrics", "rounds"):
        db.write(f"DELETE FROM {table} WHERE run = ? AND round >= ?", (run, first))  # noqa: S608 - fixed names
