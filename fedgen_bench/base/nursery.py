"""Where worker processes come from quickly: one process imports what all of them need, and they are forked from it.

It runs nothing but imports, and has no threads but those of libraries of linear algebra, which these end before a fork.
So what is forked from it holds no lock of anybody's.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import signal
import socket
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from multiprocessing.connection import Connection, wait

from fedgen_bench.base.libraries import import_ahead
from fedgen_bench.base.processes import serve_only, without_main

_CONTEXT = multiprocessing.get_context("spawn")
_PID_BYTES = 4

Serve = Callable[[Connection, int], None]


class Nursery:
    """A process that imports `names` (see `import_ahead`) and then forks children; it dies with its coordinator."""

    def __init__(self, names: Sequence[str]) -> None:
        self._link, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_nurse, args=(theirs, os.getpid(), tuple(names)), daemon=True)
        with without_main():
            self._process.start()
        theirs.close()
        self.pid = self._process.pid or 0

    def child(self, serve: Serve) -> tuple[Connection, Child]:
        """Our end of a pipe, and a process, soon, that runs `serve(its end of it, its parent's id)`."""
        ours, theirs = _CONTEXT.Pipe()
        life, lives = os.pipe()
        try:
            with contextlib.suppress(OSError):  # a nursery that is gone shows as a dead child
                self._link.send(None)
                _send_ends(self._link, theirs.fileno(), lives)
        finally:
            theirs.close()
            os.close(lives)
        with contextlib.suppress(OSError):
            ours.send(serve)
        return ours, Child(life, self)

    @property
    def alive(self) -> bool:
        """Whether it is there."""
        return not self._link.closed and self._process.is_alive()

    def ended(self, pid: int) -> int:
        """The exit code of a child that has ended; where the nursery is gone, what its children died of."""
        try:
            self._link.send(pid)
            code: int = self._link.recv()
        except (OSError, EOFError):
            return -signal.SIGKILL
        return code

    def close(self) -> None:
        """End it, and with it what it has borne."""
        if self._link.closed:
            return
        self._link.close()
        self._process.kill()
        self._process.join()
        self._process.close()


class Child:
    """A process of a nursery, as `multiprocessing` has its own.

    Args:
        life: of a pipe whose other end the process holds as long as it lives; it writes its id first.
        home: where it comes from.
    """

    def __init__(self, life: int, home: Nursery) -> None:
        self._life, self._home = life, home
        self._pid = 0
        self.exitcode: int | None = None

    @property
    def pid(self) -> int:
        """Its id; that of the nursery before it is born."""
        return self._pid if self._born() else self._home.pid

    def _born(self) -> bool:
        if not self._pid and self.exitcode is None and wait([self._life], 0):
            self._pid = int.from_bytes(os.read(self._life, _PID_BYTES), "big")
            if not self._pid:  # the nursery died
                self.exitcode = -signal.SIGKILL
        return self._pid > 0

    def join(self, seconds: float | None = None) -> None:
        """Wait until it has ended, for so long at most; one that is not born yet is not waited for.

        Without a limit the nursery waits: processes that a child left behind may hold its end of the pipe for longer.
        """
        if self._born() and self.exitcode is None and (seconds is None or wait([self._life], seconds)):
            self.exitcode = self._home.ended(self._pid)

    def kill(self) -> None:
        """End it, whatever it is doing; one that is not born yet finds its coordinator gone."""
        if self._born() and self.exitcode is None:
            with contextlib.suppress(ProcessLookupError):  # it has just died with the nursery
                os.kill(self._pid, signal.SIGKILL)

    def close(self) -> None:
        """Give back what tells of its life."""
        os.close(self._life)


def _send_ends(link: Connection, *ends: int) -> None:
    with socket.socket(fileno=os.dup(link.fileno())) as channel:
        socket.send_fds(channel, [b"."], ends)


def _receive_ends(link: Connection, n: int) -> list[int]:
    with socket.socket(fileno=os.dup(link.fileno())) as channel:
        return socket.recv_fds(channel, 1, n)[1]


def _nurse(link: Connection, parent: int, names: Sequence[str]) -> None:
    """Import, then do what is asked until the coordinator is gone: bear a child, or tell how one ended."""
    if not serve_only(parent):
        return
    import_ahead(names)
    gc.freeze()
    _flush()  # what imports printed is printed once
    with contextlib.suppress(EOFError, OSError):
        while True:
            asked = link.recv()
            if isinstance(asked, int):
                link.send(os.waitstatus_to_exitcode(os.waitpid(asked, 0)[1]))
            else:
                _bear(link)


def _bear(link: Connection) -> None:
    pipe, life = _receive_ends(link, 2)
    home = os.getpid()
    with warnings.catch_warnings():  # Python 3.12 and later warn of threads: see above
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child:
        os.close(pipe)
        os.close(life)
        return
    code = 1
    try:
        link.close()
        os.write(life, os.getpid().to_bytes(_PID_BYTES, "big"))
        coordinator = Connection(pipe)
        serve: Serve = coordinator.recv()
        serve(coordinator, home)
        code = 0
    except (BrokenPipeError, EOFError):  # it was given up before it was born
        pass
    except BaseException:  # noqa: BLE001 - nobody else is left to tell
        traceback.print_exc()
    finally:
        _flush()
        os._exit(code)


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()


_OPEN: ContextVar[Nursery | None] = ContextVar("nursery", default=None)


@contextlib.contextmanager
def nursery(names: Sequence[str]) -> Iterator[Nursery]:
    """One that workers which are hired within the block come from (see `current`), until it is closed."""
    opened = Nursery(names)
    token = _OPEN.set(opened)
    try:
        yield opened
    finally:
        _OPEN.reset(token)
        opened.close()


def current() -> Nursery | None:
    """The nursery that is open here and alive."""
    opened = _OPEN.get()
    return opened if opened is not None and opened.alive else None
