"""What is in a results store: listed, chosen, taken out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedgen_bench.base.errors import UsageError, unknown
from fedgen_bench.results.stock import StockedRun, clear, size_of
from fedgen_bench.results.store import Store


@dataclass(frozen=True)
class Superfluous:
    """What may leave a store without a table changing.

    Args:
        runs: in whose place tables show a later one.
        folders: files of runs that the store no longer has.
    """

    runs: tuple[StockedRun, ...]
    folders: tuple[Path, ...]

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(one.size_bytes for one in self.runs) + sum(map(size_of, self.folders))


@dataclass(frozen=True)
class Stock:
    """A results store, run by run.

    Args:
        folder: where it is.
    """

    folder: Path

    def runs(
        self,
        suite: str | None = None,
        *,
        contenders: Sequence[str] = (),
        seeds: Sequence[int] = (),
        statuses: Sequence[str] = (),
    ) -> tuple[StockedRun, ...]:
        """Runs by suite, contender and seed: all of them, or those that have what is named.

        Raises:
            UsageError: no run has such a name, with the closest one.
        """
        with Store(self.folder, read_only=True) as store:
            found = store.stocked()
        wanted = ("suite", () if suite is None else (suite,)), ("contender", contenders), ("status", statuses)
        for column, names in wanted:
            found = _having(found, column, names)
        return tuple(_having(found, "seed", seeds))

    def superfluous(self) -> Superfluous:
        """Runs in whose place tables show a later one, and files of runs that are no longer there."""
        with Store(self.folder, read_only=True) as store:
            return Superfluous(tuple(one for one in store.stocked() if not one.shown), tuple(store.strays()))

    def remove(self, runs: Iterable[StockedRun], folders: Iterable[Path] = ()) -> None:
        """Take runs out, with all that the store holds of them, and clear folders of `superfluous`.

        Raises:
            StoreError: another process writes to the store, or it cannot be written.
        """
        with Store(self.folder, create=False) as store:
            store.remove([one.identity for one in runs])
            clear(set(folders) & set(store.strays()))


def _having(runs: Sequence[StockedRun], column: str, wanted: Collection[object]) -> list[StockedRun]:
    """Those of the runs that have one of the values. Raises UsageError for a value that none has."""
    known = {str(getattr(one, column)) for one in runs}
    for value in wanted:
        if str(value) not in known:
            raise UsageError(unknown(f"stored {column}", str(value), known))
    return [one for one in runs if not wanted or getattr(one, column) in wanted]
