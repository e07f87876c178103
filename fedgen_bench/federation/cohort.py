"""Several clients at a time: their fits are answered together where these allow it, in turn where they do not."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from fedgen_bench.base.guards import guarded
from fedgen_bench.base.spans import span
from fedgen_bench.contract.adapting import equal_merges
from fedgen_bench.contract.engines import ClientOutcome
from fedgen_bench.contract.messages import FitReport
from fedgen_bench.contract.protocols import Fusing
from fedgen_bench.federation.asked import Asked
from fedgen_bench.federation.fused_check import agrees
from fedgen_bench.federation.fused_fit import fit_together

if TYPE_CHECKING:
    from fedgen_bench.contract.adapting import Adapted
    from fedgen_bench.contract.protocols import Task
    from fedgen_bench.federation.trainer import TrainingPlan

_Item = TypeVar("_Item")
Working = Generator[Asked, FitReport, ClientOutcome]
Found = FitReport | Exception


def in_cohorts(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    """So many at a time, each as late as can be. What the source raises comes after what it gave before."""
    source, error = iter(items), None
    while error is None:
        some: list[_Item] = []
        try:
            while len(some) < size:
                some.append(next(source))
        except Exception as raised:  # noqa: BLE001 - raised below; the end of the source is among them
            error = raised
        if some:
            yield some
    if not isinstance(error, StopIteration):
        raise error


def worked_off(
    workings: Sequence[Working], answers: Callable[[Sequence[Asked]], Sequence[Found]]
) -> Iterator[ClientOutcome]:
    """Drive clients' work until all have ended; outcomes in their order, and what one raised in its turn."""
    turns = [_Turn(one) for one in workings]
    try:
        while waiting := [one for one in turns if one.asked is not None]:
            found = answers([one.asked for one in waiting if one.asked is not None])
            for turn, answer in zip(waiting, found, strict=True):
                turn.go_on(answer)
    finally:
        for turn in turns:
            turn.working.close()
    for turn in turns:
        if turn.error is not None:
            raise turn.error
        assert turn.outcome is not None
        yield turn.outcome


class _Turn:
    """A client's work: what it asks for at present, or how it ended."""

    def __init__(self, working: Working) -> None:
        self.working = working
        self.asked: Asked | None = None
        self.outcome: ClientOutcome | None = None
        self.error: Exception | None = None
        self._advance(lambda: next(working))

    def go_on(self, answer: Found) -> None:
        working = self.working
        if isinstance(answer, Exception):
            self._advance(lambda: working.throw(answer))
        else:
            self._advance(lambda: working.send(answer))

    def _advance(self, step: Callable[[], Asked]) -> None:
        self.asked = None
        try:
            self.asked = step()
        except StopIteration as end:
            self.outcome = end.value
        except Exception as error:  # noqa: BLE001 - raised when its turn comes
            self.error = error


@dataclass(frozen=True)
class Answers:
    """Answers fits: those that differ in data, tensors and steps alone are trained in one pass, any other alone."""

    adapted: Adapted
    task: Task
    plan: TrainingPlan
    alone: Callable[[Asked], FitReport]
    _agreed: dict[frozenset[str], bool] = field(init=False, default_factory=dict)

    def __call__(self, asked: Sequence[Asked]) -> list[Found]:
        """Reports in the order of the fits; an error where one went wrong."""
        found: dict[int, Found] = {}
        for group in self._groups(asked):
            reports = self._together([asked[i] for i in group])
            found |= zip(group, reports, strict=True)
        return [found[i] for i in range(len(asked))]

    def go_together(self, asked: Sequence[Asked]) -> bool:
        """Whether these fits, of which there is one at least, are trained in one pass."""
        task = self.task
        return len(self._groups(asked)) == 1 and isinstance(task, Fusing) and self._agree(task, asked)

    def _groups(self, asked: Sequence[Asked]) -> list[list[int]]:
        if self.plan.micro_batch_size is not None or self.plan.example_dp is not None:  # no more examples at a time
            return [[i] for i in range(len(asked))]
        groups: list[list[int]] = []
        for i, one in enumerate(asked):
            able = (group for group in groups if self._is_sound(one) and self._alike(asked[group[0]], one))
            group = next(able, None)
            if group is None:
                groups.append([i])
            else:
                group.append(i)
        return groups

    def _alike(self, one: Asked, other: Asked) -> bool:
        """Whether two fits go through the same rates of learning, as far as both go, and are alike in all else."""
        schedule = self.plan.schedule
        return (one.n_steps == other.n_steps or schedule is None or not schedule.within) and _alike(one, other)

    def _is_sound(self, one: Asked) -> bool:
        """Whether the trainer will take it; it says best itself what is wrong."""
        names, request = self.adapted.trainable.keys(), one.request
        return one.data.n > 0 and request.start.keys() == names and names >= (request.trainable or names)

    def _together(self, asked: Sequence[Asked]) -> list[Found]:
        task = self.task
        if len(asked) > 1 and isinstance(task, Fusing) and self._agree(task, asked):
            try:
                with span("fit", f"{len(asked)} clients"), guarded(f"{type(task).__name__}.losses"):
                    return list(fit_together(self.adapted, task, asked, self.plan.at(asked[0].learning_rate)))
            except Exception as error:  # noqa: BLE001 - the first of them raises it
                return [error] * len(asked)
        return list(map(self._alone, asked))

    def _alone(self, asked: Asked) -> Found:
        try:
            return self.alone(asked)
        except Exception as error:  # noqa: BLE001 - raised in the client's work
            return error

    def _agree(self, task: Fusing, asked: Sequence[Asked]) -> bool:
        """Looked at once for each set of tensors that is trained."""
        names = frozenset(asked[0].request.trainable or self.adapted.trainable)
        if names not in self._agreed:
            with guarded(f"{type(task).__name__}.losses"):
                self._agreed[names] = agrees(self.adapted, self.task, task, asked, self.plan)
        return self._agreed[names]


def _alike(one: Asked, other: Asked) -> bool:
    """Whether two fits train the same tensors of the same backbone, at one rate, on examples of one layout."""
    layouts = (
        {name: (tensor.dtype, tensor.shape[1:]) for name, tensor in each.data.tensors.items()} for each in (one, other)
    )
    ours, theirs = one.request, other.request
    return (
        one.learning_rate == other.learning_rate
        and ours.trainable == theirs.trainable
        and len(ours.merges) == len(theirs.merges)
        and next(layouts) == next(layouts)
        and all(map(equal_merges, ours.merges, theirs.merges))
    )
