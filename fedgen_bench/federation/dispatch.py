"""Tasks to workers, outcomes in the order of the tasks; a task whose worker died is run again by another."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from fedgen_bench.base.errors import FedgenError
from fedgen_bench.federation.remote import pack, unpack_outcome

if TYPE_CHECKING:
    from fedgen_bench.contract.engines import ClientOutcome, ClientTask
    from fedgen_bench.federation.blueprint import Blueprint
    from fedgen_bench.federation.remote import Answer, PackedTask

N_TRIES = 3


@dataclass(frozen=True)
class Died:
    """In place of an answer: the worker is gone.

    Args:
        how: it ended.
        begun: whether it had accepted the task; only then can the task be what it died of.
    """

    how: str
    begun: bool = True


class Crew(Protocol):
    """Worker processes, wherever they are; each has a `federation.remote.Workshop` and one task at a time."""

    def hire(self) -> Hashable:
        """A new worker; it need not be ready yet."""

    def give(self, worker: Any, blueprint: Blueprint, task: PackedTask) -> None:
        """Have an idle worker begin. Whether it died shows in `wait`."""

    def wait(self, busy: Collection[Any], *, block: bool) -> Iterable[tuple[Any, Answer | Died]]:
        """The workers that have answered or died; at least one if `block`."""

    def dismiss(self, worker: Any) -> None:
        """End a worker, whatever it is doing."""


@dataclass(frozen=True)
class _Handed:
    """A task on a worker.

    Args:
        number: of the task in its round.
        n_deaths: workers that died while they worked on it.
        n_stillborn: workers that were hired for it and died before they accepted it.
        to_new: whether the worker was hired for it.
    """

    number: int
    task: PackedTask
    n_deaths: int = 0
    n_stillborn: int = 0
    to_new: bool = False


class Dispatcher:
    """Keeps a crew's workers from round to round, hires when there is a task for one more, and replaces the dead."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._idle: list[Any] = []
        self._busy: dict[Any, _Handed] = {}

    def run(self, tasks: Iterable[ClientTask], blueprint: Blueprint, n_jobs: int) -> Iterator[ClientOutcome]:
        """Outcomes in order. At most `n_jobs` tasks are worked on and twice as many are taken ahead of their turn.

        Raises:
            FedgenError: a task's worker died three times, or three new ones died before they began. What a task or the
                iterable raises comes in its turn, too.
        """
        self._give_up(self._busy)
        busy = self._busy = {}
        answers: dict[int, Answer] = {}
        source: Iterator[ClientTask] | None = iter(tasks)
        turn = n_taken = 0
        try:
            while True:
                while source is not None and len(busy) < n_jobs and n_taken - turn < 2 * n_jobs:
                    try:
                        self._hand(_Handed(n_taken, pack(next(source))), blueprint, busy)
                    except StopIteration:
                        source = None
                        break
                    except Exception as error:  # noqa: BLE001 - raised when the tasks before it are through
                        answers[n_taken], source = error, None
                    n_taken += 1
                if turn == n_taken:
                    return
                for number, answer in self._answers(blueprint, busy, block=turn not in answers):
                    answers[number] = answer
                    if isinstance(answer, Exception):
                        source = None
                if turn in answers:
                    yield _outcome(answers.pop(turn))
                    turn += 1
        finally:
            self._give_up(busy)

    def close(self) -> None:
        """End all workers."""
        self._give_up(self._busy)
        while self._idle:
            self._crew.dismiss(self._idle.pop())

    def _hand(self, handed: _Handed, blueprint: Blueprint, busy: dict[Any, _Handed]) -> None:
        to_new = not self._idle
        worker = self._crew.hire() if to_new else self._idle.pop()
        busy[worker] = replace(handed, to_new=to_new)
        self._crew.give(worker, blueprint, handed.task)

    def _answers(self, blueprint: Blueprint, busy: dict[Any, _Handed], *, block: bool) -> Iterator[tuple[int, Answer]]:
        """What came in, by task number; tasks of the dead are handed out again."""
        for worker, answer in self._crew.wait(tuple(busy), block=block) if busy else ():
            handed = busy.pop(worker)
            if not isinstance(answer, Died):
                self._idle.append(worker)
                yield handed.number, answer
                continue
            if answer.begun:
                handed = replace(handed, n_deaths=handed.n_deaths + 1)
            elif handed.to_new:
                handed = replace(handed, n_stillborn=handed.n_stillborn + 1)
            if max(handed.n_deaths, handed.n_stillborn) < N_TRIES:
                self._hand(handed, blueprint, busy)
            else:
                yield handed.number, _hopeless(handed, answer)

    def _give_up(self, busy: dict[Any, _Handed]) -> None:
        """End workers whose answers nobody waits for any more."""
        while busy:
            self._crew.dismiss(busy.popitem()[0])


def _outcome(answer: Answer) -> ClientOutcome:
    if isinstance(answer, Exception):
        raise answer
    return unpack_outcome(answer)


def _hopeless(handed: _Handed, death: Died) -> FedgenError:
    task = handed.task
    if handed.n_stillborn == N_TRIES:
        return FedgenError(
            f"{N_TRIES} new worker processes in a row ended before they began with client {task.client_id} in round "
            f"{task.round_index} ({death.how}). Look for a lack of memory; `--engine local` needs no other processes."
        )
    return FedgenError(
        f"The worker process died {N_TRIES} times while it worked on client {task.client_id} in round "
        f"{task.round_index} ({death.how}). Look for a lack of memory; fewer `--jobs` need less."
    )
