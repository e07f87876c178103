"""Tasks to a pool's workers, what comes of them in their order; a task whose worker died is run by another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.errors import FedgenError
from fedgen_bench.base.pool import Crew, Died, Note, Pool
from fedgen_bench.federation.cohort import in_cohorts
from fedgen_bench.federation.evaluation_work import gathered
from fedgen_bench.federation.packing import (
    Answer,
    Packed,
    PackedMetrics,
    PackedOutcome,
    PackedTask,
    pack,
    pack_evaluation,
    unpack_outcome,
)

if TYPE_CHECKING:
    from fedgen_bench.contract.engines import ClientOutcome, ClientTask, EvaluationTask
    from fedgen_bench.federation.blueprint import Blueprint

N_TRIES = 3


@dataclass(frozen=True)
class _Handed:
    """A task on a worker.

    Args:
        number: of the task, with those that are worked off with it, in its round.
        n_deaths: workers that died while they worked on it.
        n_stillborn: workers that were hired for it and died before they accepted it.
    """

    number: int
    task: Packed
    n_deaths: int = 0
    n_stillborn: int = 0

    def after(self, death: Died) -> _Handed:
        """With one more try spent; a worker that died idle spends none."""
        if death.begun:
            return replace(self, n_deaths=self.n_deaths + 1)
        return replace(self, n_stillborn=self.n_stillborn + death.new)

    @property
    def hopeless(self) -> bool:
        return max(self.n_deaths, self.n_stillborn) >= N_TRIES


class Dispatcher:
    """Keeps the workers of a crew from round to round; each holds a `federation.remote.Workshop`."""

    def __init__(self, crew: Crew[Any, Answer]) -> None:
        self._pool: Pool[_Handed, Packed, Answer] = Pool(crew)
        self._round: object = None

    def run(self, tasks: Iterable[ClientTask], blueprint: Blueprint, n_jobs: int) -> Iterator[ClientOutcome]:
        """Outcomes in order. At most `n_jobs` cohorts of tasks are worked on and twice as many are taken ahead.

        Raises:
            FedgenError: a task's worker died three times, or three new ones died before they began. What a task or the
                iterable raises comes in its turn, too.
        """
        cohorts = in_cohorts(tasks, blueprint.cohort)
        packed = (_together([pack(task, blueprint) for task in some]) for some in cohorts)
        for answer in self._worked_off(packed, n_jobs):
            assert isinstance(answer, PackedOutcome)
            yield unpack_outcome(answer)

    def evaluate(
        self, tasks: Iterable[EvaluationTask], blueprint: Blueprint, n_jobs: int
    ) -> Iterator[Mapping[str, float]]:
        """Metrics in order; as `run`, but that only tasks that train are worked off in cohorts."""
        cohorts = gathered(tasks, blueprint.cohort)
        packed = (_together([pack_evaluation(task, blueprint) for task in some]) for some in cohorts)
        for answer in self._worked_off(packed, n_jobs):
            assert isinstance(answer, PackedMetrics)
            yield answer.metrics

    def _worked_off(self, packed: Iterator[Packed], n_jobs: int) -> Iterator[PackedOutcome | PackedMetrics]:
        """What comes of every task, in their order."""
        pool = self._pool
        pool.give_up()
        this = self._round = object()
        answers: dict[int, Answer] = {}
        source: Iterator[Packed] | None = packed
        turn = n_taken = 0
        try:
            while True:
                while source is not None and pool.n_busy < n_jobs and n_taken - turn < 2 * n_jobs:
                    try:
                        self._hand(_Handed(n_taken, next(source)))
                    except StopIteration:
                        source = None
                        break
                    except Exception as error:  # noqa: BLE001 - raised when the tasks before it are through
                        answers[n_taken], source = error, None
                    n_taken += 1
                if turn == n_taken:
                    return
                for number, answer in self._answers(block=turn not in answers):
                    answers[number] = answer
                    if isinstance(answer, Exception):
                        source = None
                if turn in answers:
                    yield from _outcomes(answers.pop(turn))
                    turn += 1
                    assert self._round is this, "an outcome of a round that was given up is asked for"
        finally:
            if self._round is this:
                pool.give_up()

    def close(self) -> None:
        """End all workers."""
        self._pool.close()

    def _hand(self, handed: _Handed) -> None:
        self._pool.give(handed, handed.task)

    def _answers(self, *, block: bool) -> Iterator[tuple[int, Answer]]:
        """What came in, by task number; tasks of the dead are handed out again."""
        for handed, heard in self._pool.wait(block=block):
            if isinstance(heard, Died):
                again = handed.after(heard)
                if again.hopeless:
                    yield again.number, _given_up(again, heard)
                else:
                    self._hand(again)
            elif not isinstance(heard, Note):  # client work tells nothing before its outcome
                yield handed.number, heard


def _together(packed: list[Any]) -> Packed:
    """Tasks of one kind as one, that is worked off as a cohort."""
    first, *others = packed
    together: Packed = replace(first, others=tuple(others))
    return together


def _outcomes(answer: Answer) -> Iterator[PackedOutcome | PackedMetrics]:
    """Of a task, and of those that were worked off with it."""
    if isinstance(answer, Exception):
        raise answer
    yield answer
    for other in answer.others:
        yield from _outcomes(other)


def _given_up(handed: _Handed, death: Died) -> FedgenError:
    what = _what(handed.task)
    if handed.n_stillborn == N_TRIES:
        return FedgenError(
            f"{N_TRIES} new worker processes in a row ended before they began with {what} ({death.how}). Look for a "
            "lack of memory; `--engine local` needs no other processes."
        )
    return FedgenError(
        f"The worker process died {N_TRIES} times while it worked on {what} ({death.how}). Look for a lack of memory; "
        "fewer `--jobs` need less."
    )


def _what(packed: Packed) -> str:
    if isinstance(packed, PackedTask):
        return f"client {packed.client_id} in round {packed.round_index}"
    task = packed.task
    return f"the evaluation of {task.split if task.client_id is None else f'client {task.client_id}'}"
