"""Worker processes on this machine: the clients of a round beside each other."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from fedgen_bench import EngineSpec, hookimpl

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from fedgen_bench.clients import ClientOutcome, ClientTask, ClientWork, Recipe
    from fedgen_bench.dispatch import Died
    from fedgen_bench.remote import Answer, PackedTask


@dataclass(frozen=True)
class Params:
    """jobs: worker processes; as many as have the suite's threads in cores each (on CUDA one) when 0."""

    jobs: int = 0

    def __post_init__(self) -> None:
        if self.jobs < 0:
            raise ValueError(f"jobs must be at least 1, or 0 for the default, got {self.jobs}.")


class Processes:
    """Every worker builds the cell once; tasks and outcomes cross a pipe as bytes."""

    def __init__(self, params: Params) -> None:
        from fedgen_bench.dispatch import Dispatcher

        self.params = params
        self._dispatcher = Dispatcher(_Spawned())

    def run(self, tasks: Iterable[ClientTask], work: ClientWork) -> Iterator[ClientOutcome]:
        from fedgen_bench.workers import default_jobs

        recipe = work.recipe
        assert recipe is not None, "the work must say how another process builds it"
        jobs = self.params.jobs or default_jobs(recipe.spec.config["training"]["threads"], recipe.device)
        return self._dispatcher.run(tasks, recipe, jobs)

    def close(self) -> None:
        self._dispatcher.close()


@dataclass(frozen=True)
class _Worker:
    link: Connection
    process: Any


class _Spawned:
    """Workers that multiprocessing spawns, each behind a pipe of its own."""

    def hire(self) -> _Worker:
        import multiprocessing
        import os

        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, os.getpid()), daemon=True)
        process.start()
        theirs.close()
        return _Worker(ours, process)

    def give(self, worker: _Worker, recipe: Recipe, task: PackedTask) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it just died: reading from it will tell
            worker.link.send((recipe, task))

    def wait(self, busy: Collection[_Worker], *, block: bool) -> Iterable[tuple[_Worker, Answer | Died]]:
        from multiprocessing.connection import wait

        by_link = {worker.link: worker for worker in busy}
        ready = cast("list[Connection]", wait(list(by_link), None if block else 0))
        return [(by_link[link], self._heard(by_link[link])) for link in ready]

    def _heard(self, worker: _Worker) -> Answer | Died:
        from fedgen_bench.dispatch import Died
        from fedgen_bench.workers import exit_text

        try:
            answer: Answer = worker.link.recv()
        except (EOFError, OSError):  # the latter in the middle of an answer
            worker.process.join()
            died = Died(exit_text(worker.process.exitcode))
            self.dismiss(worker)
            return died
        return answer

    def dismiss(self, worker: _Worker) -> None:
        worker.link.close()
        worker.process.kill()
        worker.process.join()
        worker.process.close()


def _serve(link: Connection, parent: int) -> None:
    """A worker process: answers what it is handed until the coordinator is gone."""
    from fedgen_bench.workers import serve_only

    if not serve_only(parent):
        return
    from fedgen_bench.remote import Workshop

    workshop = Workshop()
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            link.send(workshop.answer(*link.recv()))


@hookimpl
def register_engines() -> list[EngineSpec]:
    summary = "Worker processes on this machine: one cell at a time, its clients are spread over --jobs."
    return [EngineSpec(name="processes", summary=summary, build=Processes, params=Params)]
