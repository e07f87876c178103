"""Files that are either the old one or the new one, never half of one; and paths that stay where they belong."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fedgen_bench.base.errors import StoreError
from fedgen_bench.base.killpoints import passing


def write_atomic(path: Path, *content: Any) -> str:
    """Write buffers one behind the other, and return the sha256 of them all.

    They go through a temporary file in the same folder: write, fsync, rename, fsync the folder.

    Raises:
        StoreError: the disk is full or not writable; what was there stays.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    total = hashlib.sha256()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as handle:
            for part in content:
                handle.write(part)
                total.update(part)
            handle.flush()
            passing("file.written")
            os.fsync(handle.fileno())
        passing("file.synced")
        temporary.replace(path)
        passing("file.renamed")
        sync(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise disk_error(error, path) from error
    return total.hexdigest()


def sync(path: Path) -> None:
    """Have the disk hold a file, or a folder's names, before this returns; Windows opens no folder for that."""
    windows = sys.platform == "win32"
    if windows and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDWR if windows else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def disk_error(error: OSError, path: Path) -> StoreError:
    """The error a user can act on for a failed write."""
    if error.errno == errno.ENOSPC:
        return StoreError(
            f"No space left on the disk of {path}. Free some and run the same command again: earlier results are "
            "intact."
        )
    return StoreError(f"Cannot write {path}: {error.strerror or error}. Earlier results are intact.")


def inside(root: Path, *parts: str) -> Path:
    """`root` joined with names from outside, resolved. Raises StoreError when that leaves `root` or crosses a link."""
    base = root.resolve()
    path = base.joinpath(*parts)
    if not path.resolve().is_relative_to(base) or path.resolve() != path:
        raise StoreError(f"{'/'.join(parts)} leaves {root}. Use plain names.")
    return path


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file's content."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def present(path: Path) -> bool:
    """Whether anything has this name, be it a broken link."""
    return os.path.lexists(path)


def plain_text(path: Path, most_bytes: int) -> str:
    """The text of a plain file of a stranger's folder, with its line ends as they are.

    Raises:
        StoreError: it is missing, a link, no plain file, too large, or no UTF-8.
    """
    again = "Restore the folder from its commit, or publish it again."
    try:
        info = path.lstat()
        if not stat.S_ISREG(info.st_mode):
            kind = "a symbolic link" if stat.S_ISLNK(info.st_mode) else "no plain file"
            raise StoreError(f"{path} is {kind}. {again}")
        if info.st_size > most_bytes:
            raise StoreError(f"{path} has {info.st_size:,} bytes, at most {most_bytes:,} are read. {again}")
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error.strerror or error}). {again}") from error
    except UnicodeDecodeError as error:
        raise StoreError(f"{path} is no UTF-8 from byte {error.start:,} on. {again}") from error


def content_sha256(path: Path) -> str:
    """Hex sha256 of a file, or of a folder's files by their place in it, hidden ones left out."""
    if path.is_file():
        return sha256_of(path)
    shown = (one for one in sorted(path.rglob("*")) if not _is_hidden(one.relative_to(path)))
    return chosen_sha256(path, (one for one in shown if one.is_file()))


def _is_hidden(place: Path) -> bool:
    return any(part.startswith(".") for part in place.parts)


def chosen_sha256(folder: Path, files: Iterable[Path]) -> str:
    """Hex sha256 of some files of a folder by their place in it."""
    total = hashlib.sha256()
    for file in files:
        total.update(f"{file.relative_to(folder).as_posix()}\0{sha256_of(file)}\0".encode())
    return total.hexdigest()
