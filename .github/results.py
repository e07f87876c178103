"""What a pull request does to `leaderboards/`: changed folders have no problems, and what was published stays as it is.

`python .github/results.py BASE SUBMITTED`: both are folders as `leaderboards/`. Nothing of SUBMITTED is executed.
"""

from __future__ import annotations

import filecmp
import sys
from collections.abc import Iterator
from pathlib import Path

from fedgen_bench import Session
from fedgen_bench.base.errors import FedgenError
from fedgen_bench.base.safe_text import printable
from fedgen_bench.results.files import RESULTS
from fedgen_bench.results.published import open_folder
from fedgen_bench.results.record import Record


def findings(base: Path, submitted: Path) -> Iterator[str]:
    """What must be mended, a sentence each."""
    for name in sorted(_folders(base) - _folders(submitted)):
        yield f"{name} is gone. Published results stay; put it back."
    for name in sorted(_folders(submitted)):
        if _same(base / name, submitted / name):
            continue
        for notice in Session().validate(submitted / name).problems:
            yield f"{name}: ({notice.group}) {notice.text}"
        if name in _folders(base):
            yield from _kept(base / name, submitted / name)


def _kept(base: Path, submitted: Path) -> Iterator[str]:
    """Whether every published row is there as it was; those of an older version of the suite may go."""
    try:
        held, given = (_records(folder) for folder in (base, submitted))
    except FedgenError as error:
        yield f"{base.name}: {error}"
        return
    versions = [max((one.config.suite_version for one in rows.values()), default=0) for rows in (held, given)]
    if versions[1] > versions[0]:
        return
    for cell, record in held.items():
        if given.get(cell) != record:
            yield f"{base.name}: {record.name} was changed or is gone. Add rows with `fedgen-bench merge`."


def _records(folder: Path) -> dict[tuple[object, ...], Record]:
    return {(one.contender, one.seed, one.off_suite): one for one in open_folder(folder).records}


def _folders(root: Path) -> set[str]:
    return {one.parent.name for one in root.glob(f"*/{RESULTS}")}


def _same(one: Path, other: Path) -> bool:
    """Whether two folders hold the same files."""
    if not one.is_dir():
        return False
    files, others = ({file.relative_to(root) for file in root.rglob("*")} for root in (one, other))
    plain = [str(file) for file in files if (one / file).is_file()]
    return files == others and not any(filecmp.cmpfiles(one, other, plain, shallow=False)[1:])


if __name__ == "__main__":
    found = [printable(text) for text in findings(*map(Path, sys.argv[1:]))]
    sys.exit("\n".join(found) or 0)
