"""Cells beside each other, each on a worker process of this machine; a cell whose worker dies has crashed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from typing import cast

from fedgen_bench.base.errors import StoreError
from fedgen_bench.base.pool import Died, Note, Pool
from fedgen_bench.base.workers import Workers
from fedgen_bench.registry.datasets import finder
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.results.store import Store
from fedgen_bench.run.events import Event, OnEvent, log_rounds
from fedgen_bench.run.executor import Executor, Job
from fedgen_bench.suite.cells import CellSpec

_SECONDS_TO_LEAVE = 10.0


def in_parallel(
    todo: Sequence[CellSpec], job: Job, n_workers: int, meanwhile: Callable[[], object]
) -> Generator[Event, None, None]:
    """What is told of the cells, in the order in which it comes in. Nobody takes a dead worker's place.

    Args:
        todo: the cells.
        job: what the workers need to run them.
        n_workers: how many there are.
        meanwhile: done while the workers come into being; what it raises stands in the way of every cell.

    Raises:
        StoreError: the store cannot be written, or every worker died.
        FedgenError: a worker lacks what no cell can do without.
    """
    queue = list(todo)
    crew = Workers(partial(_open_cells, job), seconds_to_leave=_SECONDS_TO_LEAVE)
    pool: Pool[CellSpec, CellSpec, Event] = Pool(crew)
    with contextlib.closing(crew), contextlib.closing(pool):
        pool.hire(n_workers)
        meanwhile()
        for _ in range(n_workers):
            yield _begun(pool, queue.pop(0))
        while pool.n_busy:
            for spec, heard in pool.wait(block=True):
                if isinstance(heard, Note):
                    yield cast("Event", heard.message)
                elif isinstance(heard, Died):
                    yield _crashed(spec, heard)
                    if queue and not pool.n_busy:
                        raise StoreError(
                            "Every worker process died. Run the same command again; finished cells are kept."
                        )
                else:
                    yield heard
                    if queue:
                        yield _begun(pool, queue.pop(0))
                    else:
                        pool.dismiss_idle()


def _begun(pool: Pool[CellSpec, CellSpec, Event], spec: CellSpec) -> Event:
    pool.give(spec, spec)
    return Event("started", spec.name, spec.config.federation.rounds)


def _crashed(spec: CellSpec, death: Died) -> Event:
    reason = f"The worker process died ({death.how}). Run the same command again to resume."
    return Event("ended", spec.name, status="crashed", reason=reason)


@contextlib.contextmanager
def _open_cells(job: Job) -> Iterator[Callable[[CellSpec, OnEvent], Event]]:
    """What a worker process holds: all that runs a cell."""
    from fedgen_bench.federation.loader import Loader

    if job.verbose:
        log_rounds()
    registry = load_registry(job.plugin_files)
    loader = Loader(registry, finder(registry, job.data))
    with (
        Store(job.root, lock=False) as store,
        contextlib.closing(Executor(job, store, registry, loader)) as executor,
    ):
        yield executor.run
