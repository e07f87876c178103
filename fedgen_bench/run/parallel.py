"""Cells beside each other, on worker processes of this machine."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, cast

from fedgen_bench.base.errors import FedgenError, StoreError
from fedgen_bench.base.failures import portable
from fedgen_bench.base.processes import serve_only
from fedgen_bench.base.signs import Ear, Gone, Mouth, listen
from fedgen_bench.registry.datasets import finder
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.results.store import Store
from fedgen_bench.run.events import Event, log_rounds
from fedgen_bench.run.executor import Executor, Job
from fedgen_bench.suite.cells import RunSpec

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_SECONDS_TO_LEAVE = 10


def in_parallel(todo: Sequence[RunSpec], job: Job, workers: int) -> Generator[Event, None, None]:
    """What the cells' runs tell, in the order in which it comes in; a cell whose worker dies has crashed.

    Raises:
        StoreError: the store cannot be written, or every worker died.
        FedgenError: a worker lacks what no cell can do without.
    """
    context = multiprocessing.get_context("spawn")
    queue = list(todo)
    hired: dict[Ear, RunSpec | None] = {}
    try:
        for _ in range(workers):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, job, os.getpid()), daemon=True)
            process.start()
            theirs.close()
            hired[Ear(ours, process)] = None
        for ear in list(hired):
            yield from _hand_out(ear, queue, hired)
        while busy := [ear for ear, spec in hired.items() if spec is not None]:
            for ear, message in listen(busy, block=True):
                if isinstance(message, Gone):
                    spec = hired.pop(ear)
                    ear.end()
                    assert spec is not None
                    reason = f"The worker process died ({message.how}). Run the same command again to resume."
                    yield Event("ended", spec.name, status="crashed", reason=reason)
                    if queue and not any(hired.values()):
                        raise StoreError(
                            "Every worker process died. Run the same command again; finished cells are kept."
                        )
                    continue
                if isinstance(message, Exception):
                    raise message
                event = cast("Event", message)
                yield event
                if event.kind == "ended":
                    yield from _hand_out(ear, queue, hired)
        for ear in hired:
            ear.process.join(_SECONDS_TO_LEAVE)
    finally:
        for ear in hired:
            ear.end()


def _hand_out(ear: Ear, queue: list[RunSpec], hired: dict[Ear, RunSpec | None]) -> Iterator[Event]:
    spec = queue.pop(0) if queue else None
    hired[ear] = spec
    ear.give(spec)
    if spec is not None:
        yield Event("started", spec.name, spec.config.federation.rounds)


def _serve(link: Connection, job: Job, parent: int) -> None:
    """A worker process: runs the cells it is handed until the coordinator is gone."""
    if not serve_only(parent):
        return
    if job.verbose:
        log_rounds()
    from fedgen_bench.federation.loader import Loader

    mouth = Mouth(link)
    try:
        registry = load_registry(job.plugin_files)
        loader = Loader(registry, finder(registry, job.data))
        with (
            Store(job.root, lock=False) as store,
            contextlib.closing(Executor(job, store, registry, loader)) as executor,
        ):
            while (spec := link.recv()) is not None:
                with mouth.working():
                    ended = executor.run(spec, mouth.say)
                mouth.say(ended)
    except FedgenError as error:  # what no cell can do without: the store, the engine
        mouth.say(portable(error))
    except EOFError:
        pass
