"""A published folder changes as a whole: its files are written to a folder beside it, which then takes its place.

A process that dies at any point leaves the old folder or the new one whole; when it dies between the two renames, the
new one stands beside the place, and the next command puts it there.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from fedgen_bench.base.errors import StoreError
from fedgen_bench.base.files import disk_error, sync, write_atomic
from fedgen_bench.base.killpoints import passing
from fedgen_bench.base.locks import alone
from fedgen_bench.results.manifest import write_manifest

_LOCK = ".lock"


def write_together(folder: Path, contents: Mapping[str, bytes | None]) -> None:
    """Write files of a folder, remove those without content, keep all others, and renew its manifest: all or nothing.

    Raises:
        StoreError: the disk is full or not writable; the folder is as it was.
    """
    with _alone(folder.parent):
        _mend(folder)
        new, old = _beside(folder)
        try:
            _copied(folder, new, leave=contents.keys())
            for name, content in contents.items():
                if content is not None:
                    write_atomic(new / name, content)
            write_manifest(new)
            _synced(new)
            passing("folder.written")
            if folder.exists():
                folder.rename(old)
                passing("folder.parked")
            new.rename(folder)
            sync(folder.parent)
            passing("folder.placed")
        except OSError as error:
            raise disk_error(error, folder) from error
        finally:
            _mend(folder)


def mend(folder: Path) -> None:
    """Put a folder into its place that a killed process left beside it. Raises StoreError when that is not possible."""
    if not folder.exists() and _beside(folder)[1].exists():
        with _alone(folder.parent):
            _mend(folder)


def _beside(folder: Path) -> tuple[Path, Path]:
    """Where the new folder is written, and where the old one waits while the new one takes its place."""
    return folder.with_name(f".{folder.name}.new.tmp"), folder.with_name(f".{folder.name}.old.tmp")


def _mend(folder: Path) -> None:
    """An old folder is parked only when the new one is complete, and nothing else has the folder's place then."""
    new, old = _beside(folder)
    try:
        if old.exists() and not folder.exists():
            (new if new.exists() else old).rename(folder)
            sync(folder.parent)
        for left in (new, old):
            if left.exists():
                shutil.rmtree(left)
    except OSError as error:
        raise disk_error(error, folder) from error


def _copied(folder: Path, new: Path, *, leave: Collection[str]) -> None:
    """A folder's files that are not written anew; what a killed `write_atomic` left is dropped."""
    if not folder.exists():
        new.mkdir()
        return

    def ignored(where: str, names: list[str]) -> set[str]:
        inside = Path(where).relative_to(folder)
        return {one for one in names if (inside / one).as_posix() in leave or (one[0], one[-4:]) == (".", ".tmp")}

    shutil.copytree(folder, new, symlinks=True, ignore=ignored)


def _synced(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            sync(path)


@contextlib.contextmanager
def _alone(parent: Path) -> Iterator[None]:
    """One process at a time changes what is in `parent`, which is made when it is not there."""
    with contextlib.ExitStack() as held:
        try:
            parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(alone(parent / _LOCK))
        except OSError as error:
            raise StoreError(
                f"Cannot write {parent}: {error.strerror}. Name another folder with `--leaderboards`."
            ) from error
        yield
