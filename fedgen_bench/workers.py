"""Worker processes: how many, that they end with their coordinator, and how their errors reach it."""

from __future__ import annotations

import ctypes
import os
import signal
import traceback
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

from fedgen_bench.errors import PluginError

_PR_SET_PDEATHSIG = 1
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_ORIGIN = "fedgen_origin"


def serve_only(parent: int) -> bool:
    """Leave interrupts to the coordinator `parent` and die with it; False when it is gone already."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    return os.getppid() == parent


def default_jobs(threads: int, device: str) -> int:
    """Worker processes: one on CUDA, else as many as have `threads` cores each."""
    if device.startswith("cuda"):
        return 1
    return max(1, len(os.sched_getaffinity(0)) // threads)


def keep_freed_memory() -> None:
    """Have the allocator keep freed memory: a training step frees and takes the same large blocks again and again.

    Without this, a tenth of a step goes into page faults (glibc only; elsewhere nothing happens).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


def exit_text(code: int | None) -> str:
    """How a process ended, for people."""
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"


def origin(error: BaseException) -> str:
    """`file.py:line` that raised an error, in whichever process that was."""
    told: str | None = getattr(error, _ORIGIN, None)
    if told is not None:
        return told
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"


def portable(error: Exception) -> Exception:
    """The error as another process can raise it: with its type, message and origin.

    A type that does not survive the way becomes a PluginError that names it.
    """
    where = origin(error)
    try:
        setattr(error, _ORIGIN, where)
        again = ForkingPickler.loads(ForkingPickler.dumps(error))  # as a pipe between our own processes will do
        if type(again) is type(error) and str(again) == str(error):
            return error
    except Exception:  # noqa: BLE001, S110 - a foreign type may do anything here
        pass
    return PluginError(f"{type(error).__name__}: {error} ({where})")
