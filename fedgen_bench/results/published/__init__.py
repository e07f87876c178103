"""The one way to open a published folder: strict, and nothing in it is executed, unpickled, imported or followed.

`open_folder` is for who goes on to work with it and raises at the first thing that is wrong; `examine` is for who
judges it and tells all that is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from fedgen_bench.base.errors import StoreError, UsageError
from fedgen_bench.base.files import plain_text, present
from fedgen_bench.contract.specs import SuiteSource
from fedgen_bench.results.details import FigureRow, MessageRow, read_figures, read_messages
from fedgen_bench.results.files import MANIFEST, RESULTS, RESULTS_BYTES
from fedgen_bench.results.folders import mend
from fedgen_bench.results.manifest import differences, read_manifest
from fedgen_bench.results.published.reading import ResultsFile, read_results
from fedgen_bench.results.record import Record

__all__ = ["PublishedFolder", "ResultsFile", "examine", "has_results", "open_folder"]

_MOST_CHARACTERS = 400


@dataclass(frozen=True)
class PublishedFolder:
    """A folder whose results have the schema."""

    path: Path
    source: SuiteSource
    records: tuple[Record, ...] = field(repr=False)

    @property
    def messages(self) -> list[MessageRow]:
        """Every booked message; empty when it was published without. Raises as `details.read_messages`."""
        return read_messages(self.path)

    @property
    def figures(self) -> list[FigureRow]:
        """Every figure of rounds and clients; empty when it was published without. Raises as `details.read_figures`."""
        return read_figures(self.path)


def has_results(path: Path) -> bool:
    """Whether something is published there; puts a folder into its place first that a killed process left beside it."""
    mend(path)
    return present(path / RESULTS)


def open_folder(path: Path, *, unchanged: bool = False) -> PublishedFolder:
    """A published folder that may be worked with.

    Args:
        path: the folder.
        unchanged: every file must be what the folder's manifest says, where it has one.

    Raises:
        UsageError: there is no published result.
        StoreError: the results cannot be read, do not have the schema (names the file and the first path that is wrong
            in it), or files are not what the manifest says.
    """
    if not has_results(path):
        raise UsageError(
            f"{path} holds no {RESULTS}. Name a published folder, as `leaderboards/ptb`: a clone or the sdist of "
            "fedgen-bench has them, an installation has not (`--leaderboards DIR` where they are elsewhere)."
        )
    results, wrong = examine(path)
    if results is None or wrong:
        more = f" {len(wrong) - 1} more: `fedgen-bench validate {path}` lists them." if len(wrong) > 1 else ""
        raise StoreError(f"{path}: {wrong[0][:_MOST_CHARACTERS]}{more}")
    if unchanged and read_manifest(path) and (changed := differences(path)):
        raise StoreError(
            f"{', '.join(changed)} in {path} differ from {MANIFEST}: edited or truncated. Restore the folder from its "
            "commit."
        )
    source = SuiteSource(name=results.suite, text=results.suite_text, path=f"{path / RESULTS}, suite_text")
    return PublishedFolder(path, source, results.records)


def examine(path: Path) -> tuple[ResultsFile | None, list[str]]:
    """A folder's results, and what is wrong with them as sentences; None when nothing can be said about records.

    Raises:
        StoreError: results.json is missing, no plain file, too large, or no text.
    """
    return read_results(plain_text(path / RESULTS, RESULTS_BYTES))
