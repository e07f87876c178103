"""A published folder with more rows than it had: what its records give, and what stands beside them in both folders."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from fedgen_bench.base.errors import StoreError
from fedgen_bench.base.files import plain_text, present
from fedgen_bench.results.contents import contents_of
from fedgen_bench.results.details import details_of
from fedgen_bench.results.environments import environments_text
from fedgen_bench.results.files import ENVIRONMENT, LEDGER, METRICS, TIMING, left_out
from fedgen_bench.results.folders import write_together
from fedgen_bench.results.leaderboard import build_table
from fedgen_bench.suite.load import load_suite

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.results.published import PublishedFolder
    from fedgen_bench.results.record import Record

_MOST_BYTES = 16 << 20
_BESIDE = (LEDGER, METRICS, TIMING)


def check_beside(ours: Path, theirs: Path) -> None:
    """Whether a folder has of its rows what the other one has of its own. Raises StoreError."""
    for name in _BESIDE:
        if present(ours / name) and not present(theirs / name):
            raise StoreError(f"{theirs} has no {name}, which {ours} has. Publish it again with this version.")


def write_merged(ours: PublishedFolder, theirs: PublishedFolder, added: Sequence[Record], registry: Registry) -> None:
    """Write `added`, which are records of `theirs`, into the folder of `ours`; what it had keeps its numbers.

    Raises:
        PairingError: a record did not see what the others of its seed saw.
        StoreError: a file beside the results cannot be read or written.
    """
    suite, records = load_suite(ours.source, registry), (*ours.records, *added)
    cells = {(one.contender, one.seed, one.digest) for one in added}
    table = build_table(suite, records, registry)
    but = left_out(registry, ours.path)
    contents = contents_of(table, records, suite=suite, suite_text=ours.source.text, registry=registry, but=but)
    contents[ENVIRONMENT] = environments_text(records).encode()
    if present(ours.path / TIMING):
        contents[TIMING] = _timing(ours.path, theirs.path, {(name, str(seed)) for name, seed, _ in cells}).encode()
    details = details_of(
        [*ours.messages, *(one for one in theirs.messages if one[:3] in cells)],
        [*ours.figures, *(one for one in theirs.figures if one[:3] in cells)],
    )
    write_together(ours.path, contents | {name: one for name, one in details.items() if present(ours.path / name)})


def _timing(ours: Path, theirs: Path, cells: Collection[tuple[str, str]]) -> str:
    """`timing.csv` with the lines of the cells that are added."""
    head, *lines = _lines(ours)
    lines += [line for line in _lines(theirs)[1:] if tuple(line[:2]) in cells]
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([head, *sorted(lines, key=lambda line: (line[0], int(line[1])))])
    return out.getvalue()


def _lines(folder: Path) -> list[list[str]]:
    return list(csv.reader(io.StringIO(plain_text(folder / TIMING, _MOST_BYTES))))
