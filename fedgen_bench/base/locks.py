"""Locks between processes: files that the system gives to one of them at a time, and takes back when it ends."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import BaseFileLock


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """No other process is within such a block of this file's meanwhile: it waits. The file stays.

    Raises:
        OSError: it cannot be written.
    """
    from filelock import FileLock

    with FileLock(path, thread_local=False):
        yield


def taken(path: Path) -> BaseFileLock:
    """The lock of this file, until it is released or this process ends.

    Raises:
        BlockingIOError: another process has it.
        OSError: the file cannot be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), str(path)) from error
    return lock
