"""What a pull request does to `leaderboards/`: changed folders have no problems, and what was published stays as it is.

`python .github/results.py BASE SUBMITTED`: both are folders as `leaderboards/`. Nothing of SUBMITTED is executed.
"""

from __future__ import annotations

import filecmp
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from fedgen_bench import Session
from fedgen_bench.base.errors import FedgenError
from fedgen_bench.base.safe_text import printable
from fedgen_bench.results.files import RESULTS


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
    """Whether a folder is the published one with rows added: merging it into the published one gives it again."""
    if (base / RESULTS).read_bytes() == (submitted / RESULTS).read_bytes():
        return
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(shutil.copytree(base, Path(scratch) / base.name))
        try:
            Session(leaderboards=scratch).merge(submitted)
        except FedgenError as error:
            yield f"{base.name}: {error}"
            return
        if (copy / RESULTS).read_bytes() != (submitted / RESULTS).read_bytes():
            yield f"{base.name}: published rows were changed or are gone. Add yours with `fedgen-bench merge`."


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
