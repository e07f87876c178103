"""What operating systems do differently: cores, memory, forks, processes that end with their parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
_LOOK_SECONDS = 1.0


def cores() -> int:
    """Cores that this process may use; all of them where the system does not say (macOS, Windows)."""
    mine: Callable[[int], set[int]] | None = getattr(os, "sched_getaffinity", None)
    return len(mine(0)) if mine else os.cpu_count() or 1


def trains() -> bool:
    """Whether worker processes, their pipes and signals are as training here needs them: not on Windows."""
    return sys.platform != "win32"


def forks() -> bool:
    """Whether a process may be forked that has imported libraries: on macOS its own are broken in the child."""
    return sys.platform == "linux"


def end_with(parent: int) -> None:
    """Have this process killed when its parent ends: by the kernel on Linux, elsewhere by a thread that looks."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        threading.Thread(target=_watch, args=(parent,), name="parent", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    os._exit(1)


def peak_bytes() -> int:
    """The most memory that this process has held; 0 where the system does not say (Windows)."""
    try:
        import resource
    except ModuleNotFoundError:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
