"""Signs of life of worker processes on this machine: one that gives none for too long counts as gone.

A worker says that it lives every second while it works. Processor time that it used is a sign as well: a call that
keeps the interpreter to itself for minutes is work. What is stopped, or waits with its interpreter held, gives neither.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
import struct
import threading
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from enum import Enum
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from fedgen_bench.base.pool import Died, Note
from fedgen_bench.base.processes import exit_text

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

SILENCE_SECONDS = 120.0
_BEAT_SECONDS = 1.0
_USER_TIME, _SYSTEM_TIME = 11, 12  # fields of /proc/<pid>/stat behind the name


class Sign(Enum):
    """What a worker says for the ear alone: that it lives, that it has accepted what it was given."""

    ALIVE = "alive"
    BEGUN = "begun"


class Mouth:
    """A worker's end of its pipe."""

    def __init__(self, link: Connection) -> None:
        self._link = link
        self._alone = threading.Lock()

    def say(self, message: object) -> None:
        """Send; from whichever thread. Raises OSError when the coordinator is gone."""
        with self._alone:
            self._link.send(message)

    def note(self, message: object) -> None:
        """Tell something while at work. Raises OSError when the coordinator is gone."""
        self.say(Note(message))

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Give a sign of life every second within the block."""
        done = threading.Event()
        thread = threading.Thread(target=self._beat, args=(done,), name="signs of life", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _beat(self, done: threading.Event) -> None:
        with contextlib.suppress(OSError):  # nobody listens any more
            while not done.wait(_BEAT_SECONDS):
                self.say(Sign.ALIVE)


@dataclass(eq=False)
class Ear:
    """The coordinator's end of a worker's pipe.

    Args:
        patience: seconds without a sign of life after which the worker counts as gone; a stopped one blocks neither
            sending nor receiving for longer.
    """

    link: Connection
    process: Any
    patience: float = SILENCE_SECONDS
    _begun: bool = field(default=False, init=False)
    _silent: float = field(default=0.0, init=False)
    _used: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        limit = struct.pack("ll", int(self.patience), int(self.patience % 1 * 1e6))
        with socket.socket(fileno=os.dup(self.link.fileno())) as end:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)

    def give(self, message: object) -> None:
        """Send something; that nobody took it shows when listening."""
        self._begun, self._silent = False, 0.0
        try:
            self.link.send(message)
        except BlockingIOError:
            self._silent = math.inf
        except OSError:  # it just died
            pass

    def hear(self) -> object:
        """The next message or sign, or `Died`."""
        try:
            message: object = self.link.recv()
        except BlockingIOError:
            return self._stopped()
        except (EOFError, OSError):  # the latter in the middle of a message
            self.process.join(self.patience)
            code = self.process.exitcode
            return self._stopped() if code is None else Died(exit_text(code), self._begun)
        self._silent = 0.0
        self._begun = self._begun or message is Sign.BEGUN
        return message

    def waited(self, seconds: float) -> Died | None:
        """Count seconds in which nothing was heard; `Died` when that is more than the patience."""
        used = _processor_time(self.process.pid)
        if used != self._used and self._silent < math.inf:
            self._used, self._silent = used, 0.0
            return None
        self._silent += seconds
        return self._stopped() if self._silent > self.patience else None

    def _stopped(self) -> Died:
        return Died(f"no sign of life for {self.patience:g} s: it was stopped, or hangs", self._begun)

    def end(self, seconds: float = 0.0) -> None:
        """End the worker, whatever it is doing; it may leave by itself for `seconds`."""
        self.link.close()
        self.process.join(seconds)
        self.process.kill()
        self.process.join()
        self.process.close()


def listen(ears: Collection[Ear], *, block: bool) -> list[tuple[Ear, object]]:
    """Messages, and `Died` for workers that are gone; at least one if `block`. Signs are kept back.

    Only time in which this process itself was awake counts as a worker's silence.
    """
    by_link = {ear.link: ear for ear in ears}
    while True:
        began = time.monotonic()
        ready = [by_link[cast("Connection", link)] for link in wait(list(by_link), _BEAT_SECONDS if block else 0)]
        heard = [(ear, message) for ear in ready if not isinstance(message := ear.hear(), Sign)]
        if not block:
            return heard
        seconds = min(time.monotonic() - began, 2 * _BEAT_SECONDS)
        quiet = ((ear, ear.waited(seconds)) for ear in by_link.values() if ear not in ready)
        heard += [(ear, died) for ear, died in quiet if died is not None]
        if heard:
            return heard


def _processor_time(pid: int) -> int:
    """Clock ticks that a process and its threads have used; 0 when that cannot be read."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return int(fields[_USER_TIME]) + int(fields[_SYSTEM_TIME])
    except (OSError, ValueError, IndexError):
        return 0
