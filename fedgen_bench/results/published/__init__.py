"""The one way to open a published folder: strict, and nothing in it is executed, unpickled, imported or followed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedgen_bench.base.errors import StoreError, UsageError
from fedgen_bench.base.files import plain_text, present
from fedgen_bench.contract.specs import SuiteSource
from fedgen_bench.results.details import read_details
from fedgen_bench.results.folders import mend
from fedgen_bench.results.published.reading import RESULTS, Results, read_results

__all__ = ["RESULTS", "RESULTS_BYTES", "PublishedFolder", "Results", "open_folder", "read_results"]

RESULTS_BYTES = 256 << 20
_MOST_CHARACTERS = 400
Record = Mapping[str, Any]


@dataclass(frozen=True)
class PublishedFolder:
    """A folder whose results have the schema.

    Args:
        records: one a run, as `leaderboard.record_of` makes them; every value is of the kind that the schema says.
    """

    path: Path
    source: SuiteSource
    records: list[Record] = field(repr=False)

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The rows of one of its Parquet files; empty when it has none. Raises as `details.read_details`."""
        return read_details(self.path, name)


def open_folder(path: Path) -> PublishedFolder:
    """A published folder that may be worked with.

    Raises:
        UsageError: there is no published result.
        StoreError: the results cannot be read or do not have the schema; names the file and the first path that is
            wrong in it.
    """
    mend(path)
    if not present(path / RESULTS):
        raise UsageError(f"{path} holds no {RESULTS}. Name a published folder, as `leaderboards/ptb`.")
    results, wrong = read_results(plain_text(path / RESULTS, RESULTS_BYTES))
    if results is None or wrong:
        more = f" {len(wrong) - 1} more: `fedgen-bench validate {path}` lists them." if len(wrong) > 1 else ""
        raise StoreError(f"{path}: {wrong[0][:_MOST_CHARACTERS]}{more}")
    source = SuiteSource(name=results.suite, text=results.suite_text, path=f"{path / RESULTS}, suite_text")
    return PublishedFolder(path, source, list(results.records))
