"""Workers that have one task at a time, wherever they are; what becomes of a dead one's task, the caller decides."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

Label = TypeVar("Label")
Task = TypeVar("Task")
Answer = TypeVar("Answer")
Task_contra = TypeVar("Task_contra", contravariant=True)
Answer_co = TypeVar("Answer_co", covariant=True)


@dataclass(frozen=True)
class Note:
    """What a worker tells while it works."""

    message: Any


@dataclass(frozen=True)
class Died:
    """In place of an answer: the worker is gone.

    Args:
        how: it ended.
        begun: whether it had accepted the task; only then can the task be what it died of.
        new: whether it was hired for the task. The pool fills this in.
    """

    how: str
    begun: bool = True
    new: bool = False


class Crew(Protocol[Task_contra, Answer_co]):
    """Where a pool's workers come from; each has one task at a time."""

    def hire(self) -> Hashable:
        """A new worker; it need not be ready yet."""

    def give(self, worker: Any, task: Task_contra, /) -> None:
        """Have an idle worker begin. Whether it died shows in `wait`."""

    def wait(self, busy: Collection[Any], *, block: bool) -> Iterable[tuple[Any, Answer_co | Note | Died]]:
        """The workers that told something, answered or died; at least one if `block`. The dead need no dismissal."""

    def dismiss(self, worker: Any) -> None:
        """End a worker, whatever it is doing."""


@dataclass(frozen=True)
class _Busy(Generic[Label]):
    """What a worker is at.

    Args:
        new: whether it was hired for that.
    """

    label: Label
    new: bool


class Pool(Generic[Label, Task, Answer]):
    """Keeps a crew's workers from task to task, and hires when there is a task for one more.

    A label is what the caller knows a task by.
    """

    def __init__(self, crew: Crew[Task, Answer]) -> None:
        self._crew = crew
        self._idle: list[Any] = []
        self._busy: dict[Any, _Busy[Label]] = {}

    @property
    def n_busy(self) -> int:
        """Workers that have a task."""
        return len(self._busy)

    def hire(self, n: int) -> None:
        """Have so many workers more at hand before there are tasks for them."""
        self._idle += [self._crew.hire() for _ in range(n)]

    def give(self, label: Label, task: Task) -> None:
        """Have a worker begin with a task: an idle one, or a new one."""
        new = not self._idle
        worker = self._crew.hire() if new else self._idle.pop()
        self._busy[worker] = _Busy(label, new)
        self._crew.give(worker, task)

    def wait(self, *, block: bool) -> Iterator[tuple[Label, Answer | Note | Died]]:
        """What came in, by label: notes, and answers or deaths, which end a task. Something if `block` and any is busy.

        Whoever answered is idle by then, so that the next task may be given at once; whoever died is not replaced.
        """
        for worker, heard in self._crew.wait(tuple(self._busy), block=block) if self._busy else ():
            if isinstance(heard, Note):
                yield self._busy[worker].label, heard
                continue
            busy = self._busy.pop(worker)
            if isinstance(heard, Died):
                yield busy.label, replace(heard, new=busy.new)
            else:
                self._idle.append(worker)
                yield busy.label, heard

    def give_up(self) -> None:
        """End workers whose answers nobody waits for any more."""
        while self._busy:
            self._crew.dismiss(self._busy.popitem()[0])

    def dismiss_idle(self) -> None:
        """End workers that have no task."""
        while self._idle:
            self._crew.dismiss(self._idle.pop())

    def close(self) -> None:
        """End all workers."""
        self.give_up()
        self.dismiss_idle()
