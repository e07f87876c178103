"""Worker processes on this machine: the clients of a round beside each other."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedgen_bench import EngineSpec, hookimpl

if TYPE_CHECKING:
    from fedgen_bench.authors.engines import (
        Answer,
        Blueprint,
        ClientOutcome,
        ClientTask,
        EvaluationTask,
        Packed,
        Work,
    )


@dataclass(frozen=True)
class Params:
    """Knobs of the engine.

    Args:
        jobs: worker processes; as many as have the suite's threads in cores each (on CUDA one for each GPU) when 0.
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
        from fedgen_bench.authors.engines import Dispatcher, Workers

        self.params = params
        self._dispatcher = Dispatcher(Workers(_open_workshop, silence=params.silence))

    def run(self, tasks: Iterable[ClientTask], work: Work) -> Iterator[ClientOutcome]:
        blueprint, jobs = self._place(work)
        return self._dispatcher.run(tasks, blueprint, jobs)

    def evaluate(self, tasks: Iterable[EvaluationTask], work: Work) -> Iterator[Mapping[str, float]]:
        blueprint, jobs = self._place(work)
        return self._dispatcher.evaluate(tasks, blueprint, jobs)

    def _place(self, work: Work) -> tuple[Blueprint, int]:
        """What workers build the work from, and how many work at a time."""
        from fedgen_bench.authors.engines import default_jobs

        blueprint = work.blueprint
        assert blueprint is not None, "the work must say how another process builds it"
        return blueprint, self.params.jobs or default_jobs(blueprint.threads, blueprint.device)

    def close(self) -> None:
        self._dispatcher.close()


@contextlib.contextmanager
def _open_workshop() -> Iterator[Callable[[Packed, object], Answer]]:
    """What a worker process holds."""
    from fedgen_bench.authors.engines import Workshop

    workshop = Workshop()
    yield lambda task, _tell: workshop.answer(task)


@hookimpl
def register_engines() -> list[EngineSpec]:
    summary = "Worker processes on this machine: one cell at a time, its clients are spread over --jobs."
    return [EngineSpec(name="processes", summary=summary, build=Processes, params=Params, hires=True)]
