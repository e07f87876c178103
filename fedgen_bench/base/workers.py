"""Worker processes on this machine, each behind a pipe of its own: a crew for `base.pool`."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from fedgen_bench.base import spans
from fedgen_bench.base.errors import FedgenError
from fedgen_bench.base.failures import portable
from fedgen_bench.base.heartbeats import SILENCE_SECONDS, Ear, Mouth, Sign, listen
from fedgen_bench.base.nursery import Serve, current
from fedgen_bench.base.pool import Died, Note
from fedgen_bench.base.processes import serve_only, take_place, without_main

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from pathlib import Path

Task = TypeVar("Task")
Answer = TypeVar("Answer")
Tell = Callable[[object], None]
Work = Callable[[Task, Tell], Answer]
OpenShop = Callable[[], AbstractContextManager[Work[Task, Answer]]]

_CONTEXT = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class _Unfit:
    """A worker lacks what no task can do without."""

    error: Exception


class Workers(Generic[Task, Answer]):
    """A crew of processes, which leave interrupts to this one and die with it: of the open nursery, or spawned.

    Args:
        open_shop: what every worker opens first and closes at its end: a context with the function that answers a task,
            and may tell notes meanwhile. Pickled by name, of a module that is no script and should be quick to import.
        silence: seconds without a sign of life after which a worker counts as gone.
        seconds_to_leave: that an idle worker is given to close its shop when it is dismissed.
    """

    def __init__(
        self, open_shop: OpenShop[Task, Answer], *, silence: float = SILENCE_SECONDS, seconds_to_leave: float = 0.0
    ) -> None:
        self._open_shop, self._silence, self._seconds_to_leave = open_shop, silence, seconds_to_leave
        self._busy: set[Ear] = set()
        self._fresh: set[Ear] = set()
        self._places: dict[Ear, int] = {}
        self._leaving: list[Ear] = []

    def hire(self) -> Ear:
        """A new process; it opens its shop."""
        place = next(place for place in itertools.count() if place not in self._places.values())
        serve = partial(_serve, self._open_shop, place, spans.folder())
        nursery = current()
        link, process = _spawned(serve) if nursery is None else nursery.child(serve)
        worker = Ear(link, process, self._silence)
        self._places[worker] = place
        self._fresh.add(worker)
        return worker

    def give(self, worker: Ear, task: Task, /) -> None:
        """Have an idle worker begin."""
        self._busy.add(worker)
        self._fresh.discard(worker)
        worker.give(task)

    def wait(self, busy: Collection[Ear], *, block: bool) -> Iterator[tuple[Ear, Answer | Note | Died]]:
        """What busy workers say; at least one thing if `block`.

        Raises:
            FedgenError: a worker's: its shop does not open, or has not what any task needs.
        """
        for worker, said in listen(busy, block=block):
            if isinstance(said, _Unfit):
                raise said.error
            if isinstance(said, Died):
                self.dismiss(worker)
            elif not isinstance(said, Note):
                self._busy.discard(worker)
            yield worker, cast("Answer | Note | Died", said)

    def dismiss(self, worker: Ear) -> None:
        """End a worker: at once when it is busy or never was, else it is told to leave, which `close` waits for."""
        self._places.pop(worker, None)
        if worker in self._busy or worker in self._fresh:
            self._busy.discard(worker)
            self._fresh.discard(worker)
            worker.end()
        elif self._seconds_to_leave:
            worker.give(None)
            self._leaving.append(worker)
        else:
            worker.end()

    def close(self) -> None:
        """Wait until those that were dismissed have left, each within `seconds_to_leave`."""
        while self._leaving:
            self._leaving.pop().end(self._seconds_to_leave)


def _spawned(serve: Serve) -> tuple[Connection, Any]:
    """A new process, and our end of the pipe to it."""
    ours, theirs = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=serve, args=(theirs, os.getpid()), daemon=True)
    with without_main():
        process.start()
    theirs.close()
    return ours, process


def _serve(open_shop: OpenShop[Task, Answer], place: int, kept: Path | None, link: Connection, parent: int) -> None:
    """A worker process: answers what it is given until that is None or the coordinator is gone."""
    if not serve_only(parent):
        return
    take_place(place)
    spans.keep(kept)
    mouth = Mouth(link)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            with open_shop() as work:
                while (task := link.recv()) is not None:
                    mouth.say(Sign.BEGUN)
                    with mouth.working():
                        answer = work(task, mouth.note)
                    mouth.say(answer)
        except FedgenError as error:
            mouth.say(_Unfit(portable(error)))
