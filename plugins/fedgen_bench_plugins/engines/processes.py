"""Worker processes on this machine: the clients of a round beside each other."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from fedgen_bench import EngineSpec, hookimpl

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from fedgen_bench.base.signs import Ear
    from fedgen_bench.contract.engines import ClientOutcome, ClientTask, Work
    from fedgen_bench.federation.blueprint import Blueprint
    from fedgen_bench.federation.dispatch import Died
    from fedgen_bench.federation.remote import Answer, PackedTask


@dataclass(frozen=True)
class Params:
    """Knobs of the engine.

    Args:
        jobs: worker processes; as many as have the suite's threads in cores each (on CUDA one) when 0.
        silence: seconds without a sign of life after which a worker counts as gone. Workers give one every second, and
            processor time that they use is one: this does not bound how long a client may take.
    """

    jobs: int = 0
    silence: float = 120.0

    def __post_init__(self) -> None:
        if self.jobs < 0:
            raise ValueError(f"jobs must be at least 1, or 0 for the default, got {self.jobs}.")
        if not self.silence > 0:
            raise ValueError(f"silence must be above 0 seconds, got {self.silence}.")


class Processes:
    """Every worker builds the cell once; tasks and outcomes cross a pipe as bytes."""

    def __init__(self, params: Params) -> None:
        from fedgen_bench.federation.dispatch import Dispatcher

        self.params = params
        self._dispatcher = Dispatcher(_Spawned(params.silence))

    def run(self, tasks: Iterable[ClientTask], work: Work) -> Iterator[ClientOutcome]:
        from fedgen_bench.base.processes import default_jobs

        blueprint = work.blueprint
        assert blueprint is not None, "the work must say how another process builds it"
        jobs = self.params.jobs or default_jobs(blueprint.threads, blueprint.device)
        return self._dispatcher.run(tasks, blueprint, jobs)

    def close(self) -> None:
        self._dispatcher.close()


class _Spawned:
    """Workers that multiprocessing spawns, each behind a pipe of its own."""

    def __init__(self, silence: float) -> None:
        self._silence = silence
        self._begun: set[Ear] = set()

    def hire(self) -> Ear:
        import multiprocessing
        import os

        from fedgen_bench.base.signs import Ear

        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, os.getpid()), daemon=True)
        process.start()
        theirs.close()
        return Ear(ours, process, self._silence)

    def give(self, worker: Ear, blueprint: Blueprint, task: PackedTask) -> None:
        self._begun.discard(worker)
        worker.give((blueprint, task))

    def wait(self, busy: Collection[Ear], *, block: bool) -> Iterable[tuple[Ear, Answer | Died]]:
        from fedgen_bench.base.signs import Gone, Sign, listen
        from fedgen_bench.federation.dispatch import Died

        while True:
            found: list[tuple[Ear, Answer | Died]] = []
            for worker, message in listen(busy, block=block):
                if message is Sign.BEGUN:
                    self._begun.add(worker)
                elif isinstance(message, Gone):
                    found.append((worker, Died(message.how, begun=worker in self._begun)))
                    self.dismiss(worker)
                else:
                    found.append((worker, cast("Answer", message)))
            if found or not block:
                return found

    def dismiss(self, worker: Ear) -> None:
        self._begun.discard(worker)
        worker.end()


def _serve(link: Connection, parent: int) -> None:
    """A worker process: answers what it is handed until the coordinator is gone."""
    from fedgen_bench.base.processes import serve_only

    if not serve_only(parent):
        return
    from fedgen_bench.base.signs import Mouth, Sign
    from fedgen_bench.federation.remote import Workshop

    workshop, mouth = Workshop(), Mouth(link)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            blueprint, task = link.recv()
            mouth.say(Sign.BEGUN)
            with mouth.working():
                answer = workshop.answer(blueprint, task)
            mouth.say(answer)


@hookimpl
def register_engines() -> list[EngineSpec]:
    summary = "Worker processes on this machine: one cell at a time, its clients are spread over --jobs."
    return [EngineSpec(name="processes", summary=summary, build=Processes, params=Params)]
