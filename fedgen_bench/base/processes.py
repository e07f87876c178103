"""This process and those beside it: how many, that they end with their coordinator, and how one ended."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from types import ModuleType

from fedgen_bench.base.system import end_with

_place: int | None = None


@contextlib.contextmanager
def without_main() -> Iterator[None]:
    """Processes spawned meanwhile do not import the caller's script: it needs no `if __name__ == "__main__":`."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def serve_only(parent: int) -> bool:
    """Leave interrupts to the coordinator `parent` and die with it; False when it is gone already."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with(parent)
    return os.getppid() == parent


def take_place(place: int) -> None:
    """Have this worker process know its number among those beside it."""
    global _place  # noqa: PLW0603 - what a process is, like its id
    _place = place


def own_place() -> int | None:
    """This worker's number among those beside it, from 0; None in a process that is no worker."""
    return _place


def exit_text(code: int | None) -> str:
    """How a process ended, for people."""
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
