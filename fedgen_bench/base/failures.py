"""What foreign code may raise: told safely, blamed on who raised it, never taken for the user's own interrupt."""

from __future__ import annotations

import contextlib
import signal
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from fedgen_bench.base.errors import PluginError, StoreError

_ORIGIN = "fedgen_origin"


class Interrupted(KeyboardInterrupt):
    """The user's own interrupt: a signal came."""


def interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - as `signal` calls it
    """The signal handler that raises `Interrupted`."""
    raise Interrupted


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Have Ctrl-C raise `Interrupted` inside the block, where Python's own handler would raise KeyboardInterrupt."""
    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if ours:
        signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def is_interrupt(error: BaseException) -> bool:
    """Whether the user interrupted. Where Python's own handler still stands, any KeyboardInterrupt may be theirs."""
    if isinstance(error, Interrupted):
        return True
    return isinstance(error, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def text_of(error: BaseException) -> str:
    """The message on one line, also of an error whose `str` fails."""
    try:
        return " ".join(str(error).split())
    except BaseException as failure:
        if is_interrupt(failure):
            raise
        return f"(its message cannot be had: str() raises {type(failure).__name__})"


def told(error: BaseException) -> str:
    """`Type: message` on one line; where plugins import from, when a module of the harness is not there (any more)."""
    text = text_of(error)
    instead = ""
    if isinstance(error, ImportError) and (error.name or "").partition(".")[0] == "fedgen_bench":
        instead = "; plugins import from `fedgen_bench`, `fedgen_bench.authors` and `fedgen_bench.testing`"
    return (f"{type(error).__name__}: {text}" if text else type(error).__name__) + instead


def origin(error: BaseException) -> str:
    """`file.py:line` that raised an error, in whichever process that was."""
    there: str | None = getattr(error, _ORIGIN, None)
    if there is not None:
        return there
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"


def keep_origin(error: BaseException) -> str:
    """Write an error's origin onto it, so that it survives another process; returns it."""
    where = origin(error)
    with contextlib.suppress(Exception):  # a type with slots; its copy then names the place that raised it again
        setattr(error, _ORIGIN, where)
    return where


def portable(error: BaseException) -> Exception:
    """The error as another process can raise it: with its type, message and origin.

    A type that does not survive the way becomes a PluginError that names it.
    """
    from multiprocessing.reduction import ForkingPickler

    where = keep_origin(error)
    try:
        again = ForkingPickler.loads(ForkingPickler.dumps(error))  # as a pipe between our own processes will do
        if isinstance(error, Exception) and type(again) is type(error) and str(again) == str(error):
            return error
    except BaseException as failure:
        if is_interrupt(failure):
            raise
    return PluginError(f"{told(error)} ({where})")


def as_failure(what: str, error: BaseException) -> PluginError | None:
    """What `error`, raised by the plugin `what`, becomes; None where it says what it is by itself.

    Ends of the process or of a generator, a KeyboardInterrupt without a signal, whatever is no Exception, and our own
    StoreError, which would end every cell, are that plugin's failure.
    """
    if is_interrupt(error):
        return None
    if isinstance(error, Exception) and not isinstance(error, StoreError | StopIteration | StopAsyncIteration):
        return None
    return PluginError(f"{what} raised {told(error)} ({origin(error)}). Raise an ordinary exception where it fails.")


@contextlib.contextmanager
def blamed(what: str) -> Iterator[None]:
    """Turn what only foreign code raises inside the block into a PluginError that names `what`."""
    try:
        yield
    except BaseException as error:
        failure = as_failure(what, error)
        if failure is None:
            raise
        raise failure from error
