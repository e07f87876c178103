"""Claims about a suite's reference, judged from published results and written beside them."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fedgen_bench.base.files import inside
from fedgen_bench.results.files import CLAIMS, CLAIMS_FOLDER
from fedgen_bench.results.folders import write_together
from fedgen_bench.review.claims.gathering import gather
from fedgen_bench.review.claims.judging import judged, written
from fedgen_bench.session.answers import Verdicts

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Registry


def judge(leaderboards: Path, suite: str, registry: Registry) -> Verdicts:
    """The verdicts on a suite's claims; `claims.md` with its charts is written into its published folder.

    Charts that the claims have no more are removed. Without matplotlib a chart stays as it is while its data do, and
    is removed where they are others.
    """
    evidence, drawn = gather(leaderboards, suite, registry), _can_draw()
    folder = inside(leaderboards, suite)
    files = written(evidence, registry, drawn=drawn)
    undrawn = () if drawn else tuple(_not_of_their_data(files, folder))
    write_together(folder, {**files, **dict.fromkeys((*undrawn, *_of_no_claim(files, folder)))})
    return Verdicts(judged(evidence, registry), folder / CLAIMS, undrawn)


def outdated(leaderboards: Path, suite: str, registry: Registry) -> tuple[str, ...]:
    """Files of the claims that are not what the published results give; charts' drawings are not compared."""
    files, folder = written(gather(leaderboards, suite, registry), registry, drawn=False), inside(leaderboards, suite)
    return (*_changed(files, folder), *_of_no_claim(files, folder))


def _changed(files: Mapping[str, bytes], folder: Path) -> tuple[str, ...]:
    """Names of those that a folder does not hold as they are."""
    return tuple(
        name
        for name, content in sorted(files.items())
        if not ((folder / name).is_file() and (folder / name).read_bytes() == content)
    )


def _of_no_claim(files: Mapping[str, bytes], folder: Path) -> tuple[str, ...]:
    """Charts and their data that a folder has, and the claims have no more."""
    there = sorted(path for path in (folder / CLAIMS_FOLDER).glob("*") if path.suffix in (".csv", ".svg"))
    return tuple(f"{CLAIMS_FOLDER}/{path.name}" for path in there if f"{CLAIMS_FOLDER}/{path.stem}.csv" not in files)


def _not_of_their_data(files: Mapping[str, bytes], folder: Path) -> Iterator[str]:
    """Charts that a folder lacks, or has of other data than these."""
    changed = _changed(files, folder)
    for data in (name for name in files if name.endswith(".csv")):
        chart = f"{data.removesuffix('.csv')}.svg"
        if data in changed or not (folder / chart).is_file():
            yield chart


def _can_draw() -> bool:
    try:
        importlib.import_module("matplotlib")
    except ModuleNotFoundError:
        return False
    return True
