"""Rows of another machine's folder, added to the published folder of their suite."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fedgen_bench.base.errors import UsageError
from fedgen_bench.base.files import inside
from fedgen_bench.results.merged import check_beside, write_merged
from fedgen_bench.results.published import has_results, open_folder
from fedgen_bench.review.merging import addition
from fedgen_bench.session.answers import Merged

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Registry


def merge(path: Path, leaderboards: Path, registry: Registry, *, contenders: Sequence[str], write: bool) -> Merged:
    """Add the rows that the suite's folder below `leaderboards` lacks, or only look at them.

    Raises:
        UsageError: there is no published folder of the suite.
    """
    name = open_folder(path).source.name
    inside(leaderboards, name)
    folder = leaderboards / name
    if not has_results(folder):
        raise UsageError(f"{folder} is not there to be added to. Copy {path} there if it is the suite's first folder.")
    ours = open_folder(folder, unchanged=True)
    found = addition(ours, path, registry, contenders)
    check_beside(folder, path)
    if write:
        write_merged(ours, found.theirs, found.added, registry)
    return Merged(folder, found)
