"""The journal of one cell in the store: its rows, and the files that a resume needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.errors import StoreError
from fedgen_bench.base.files import sha256_of, write_atomic
from fedgen_bench.base.killpoints import passing
from fedgen_bench.results.rows import RoundRow, RunRow
from fedgen_bench.results.storage import drop_rounds, insert_round, read_round_rows, read_run, write_run

if TYPE_CHECKING:
    from fedgen_bench.contract.reports import RoundReport, RunResult
    from fedgen_bench.results.database import Database

FINAL = "final.safetensors"
KEPT = "kept"  # of a run whose checkpoint stays when it is done


@dataclass(frozen=True)
class Checkpoint:
    """Where a cut-off run goes on.

    Args:
        keep_rounds: rounds that wrote the files in which clients' private states are, ascending; of a client the last
            one that has it counts.
        admitted_rounds: by client, the last round in which its update was admitted.
        simulated: seconds by the simulated clock; 0 where none runs.
    """

    next_round: int
    state: bytes
    keep_rounds: tuple[int, ...]
    admitted_rounds: Mapping[int, int]
    simulated: float = 0.0


@dataclass
class Journal:
    """One run as it is written: its committed rounds, where it goes on, its end.

    Between commits it knows the rows that it wrote last, so that a commit is as quick after a thousand rounds.
    """

    db: Database
    identity: str
    folder: Path
    _tail: tuple[RunRow, list[RoundRow]] | None = field(init=False, default=None, repr=False)

    def _row(self) -> RunRow:
        row = read_run(self.db, self.identity)
        if row is None:
            raise StoreError(f"Run {self.identity} is gone from {self.db.path}. Run the same command again.")
        return row

    def checkpoint(self) -> Checkpoint | None:
        """The last good round, or None for a start from scratch; later rounds and damaged files are dropped."""
        rows = read_round_rows(self.db, self._row(), strict=False)
        for n_rounds in range(len(rows), 0, -1):
            found = self._after(rows[:n_rounds])
            if found is not None:
                self._drop_rounds_from(n_rounds, rows)
                return found
        self._drop_rounds_from(0, rows)
        return None

    def kept(self) -> Checkpoint | None:
        """What a finished run kept of its last round; None when it kept nothing, or not all of it is there."""
        rows = read_round_rows(self.db, self._row())
        return self._after(rows) if rows else None

    def _after(self, rows: list[RoundRow]) -> Checkpoint | None:
        """The checkpoint after the last of these rounds, from the first on; None where its files are not right."""
        last = rows[-1]
        state = self._state_file(last.number)
        if not _matches(state, last.state_sha256) or not all(
            _matches(self.keep_file(at), sha) for at, sha in last.keeps
        ):
            return None
        admitted = dict[int, int]()
        for row in rows:
            admitted |= dict.fromkeys(row.round_report.admitted, row.number)
        clock = last.round_report.clock
        simulated = 0.0 if clock is None else clock.ended
        return Checkpoint(len(rows), state.read_bytes(), tuple(at for at, _ in last.keeps), admitted, simulated)

    def _drop_rounds_from(self, first: int, rows: list[RoundRow]) -> None:
        self._tail = None
        with self.db.transaction():
            drop_rounds(self.db, self.identity, first)
            write_run(self.db, replace(self._row(), n_rounds=first))
        self._clean(rows[:first][-2:])

    def _clean(self, last_two: list[RoundRow]) -> None:
        """Remove every file that a resume after one of these rounds does not need."""
        needed = self._needed_after(last_two)
        for path in self.folder.glob("*"):
            if path not in needed and path.name not in (FINAL, KEPT):
                path.unlink(missing_ok=True)

    def _needed_after(self, rounds: list[RoundRow]) -> set[Path]:
        """The files of a resume after one of these rounds."""
        states = {self._state_file(row.number) for row in rounds}
        return states | {self.keep_file(at) for row in rounds for at, _ in row.keeps}

    @property
    def final_file(self) -> Path:
        """Where the exported global tensors of a done run are."""
        return self.folder / FINAL

    def batch_digests(self) -> list[str]:
        """The batch digest of every committed round, in order."""
        return [row.table["batch_digest"] for row in read_round_rows(self.db, self._row())]

    def leaks_seen(self) -> dict[str, float]:
        """What single updates gave away, of the last round that tells."""
        tables = [row.table for row in read_round_rows(self.db, self._row())]
        return {name: value for table in tables for name, value in table.get("leaks", {}).items()}

    def _state_file(self, round_index: int) -> Path:
        return self.folder / f"state-{round_index:05d}.safetensors"

    def keep_file(self, round_index: int) -> Path:
        """Where the private states that a round wrote are."""
        return self.folder / f"keep-{round_index:05d}.safetensors"

    def commit_round(
        self, report: RoundReport, state: Sequence[Any], keep: bytes | None, older: tuple[int, ...] = ()
    ) -> None:
        """Make a round durable: files first, then one transaction that names them by hash, then tidy up.

        `state` is the state's file in pieces, `keep` the file of private states that this round writes, if any; those
        that the rounds `older` wrote go on to count.
        """
        number = report.round_index
        run, rows = self._tail or self._read_tail(number)
        self._tail = None  # until the round is committed
        known = dict(rows[-1].keeps) if rows else {}
        keeps = [(at, known[at]) for at in older]
        state_sha256 = write_atomic(self._state_file(number), *state)
        if keep is not None:
            keeps.append((number, write_atomic(self.keep_file(number), keep)))
        passing("round.saved")
        row = RoundRow.of(self.identity, report, keeps, state_sha256)
        with self.db.transaction():
            passing("round.begun")
            insert_round(self.db, row)
            passing("round.inserted")
            run = replace(run, seconds=run.seconds + report.seconds, n_rounds=number + 1)
            write_run(self.db, run)
            passing("ledger.inserted")
        passing("round.committed")
        last_two = [*rows[-1:], row]
        for path in self._needed_after(rows) - self._needed_after(last_two):
            path.unlink(missing_ok=True)
        self._tail = run, last_two
        passing("round.cleaned")

    def _read_tail(self, number: int) -> tuple[RunRow, list[RoundRow]]:
        """The run and its last two rounds before `number`, as they are stored."""
        run = self._row()
        return run, read_round_rows(self.db, run, first=max(number - 2, 0))

    def finish(self, result: RunResult, final: bytes | None, seconds: float, *, keep: bool = False) -> None:
        """Make the result durable; exported tensors go to `final.safetensors`.

        A done run's checkpoints are removed, unless clients' states are to be kept.
        """
        if keep:
            write_atomic(self.folder / KEPT, b"")
        if final is not None:
            write_atomic(self.final_file, final)
        self._tail = None
        with self.db.transaction():
            write_run(self.db, self._row().ended(result, seconds))
            passing("final.inserted")
        passing("final.committed")
        if result.status == "done":
            self.tidy()

    def tidy(self) -> None:
        """Remove the checkpoints of a done run, also of one that was killed in its end; those that it keeps stay."""
        if not (self.folder / KEPT).exists():
            self._clean([])


def _matches(path: Path, sha256: str) -> bool:
    return path.is_file() and not path.is_symlink() and sha256_of(path) == sha256
