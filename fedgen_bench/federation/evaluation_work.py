"""Evaluation tasks, worked off: a model is trained by its client where that is asked for, and measured."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedgen_bench.base.spans import span
from fedgen_bench.contract.messages import FitReport, Model
from fedgen_bench.federation.asked import Asked
from fedgen_bench.federation.batches import FitStreams
from fedgen_bench.federation.between import between
from fedgen_bench.federation.cohort import Found, in_cohorts

if TYPE_CHECKING:
    from fedgen_bench.contract.data import ClientData
    from fedgen_bench.contract.engines import EvaluationTask
    from fedgen_bench.contract.seeds import SeedTree
    from fedgen_bench.federation.evaluation import Evaluator


def gathered(tasks: Iterable[EvaluationTask], cohort: int) -> Iterator[list[EvaluationTask]]:
    """What is worked off together: tasks that train, `cohort` at a time; any other alone."""
    for trains, some in itertools.groupby(tasks, lambda task: task.n_steps > 0):
        yield from in_cohorts(some, cohort if trains else 1)


def _trains_alike(before: EvaluationTask, tasks: Sequence[EvaluationTask]) -> bool:
    """Whether tasks ask for the very training of one before them: they differ in what is made of it."""
    return all(
        task.n_steps > 0
        and task.fit is before.fit
        and (task.client_id, task.n_steps, task.learning_rate)
        == (before.client_id, before.n_steps, before.learning_rate)
        for task in tasks
    )


def model_of(task: EvaluationTask, trained: FitReport | None) -> Model:
    """What a task measures, after the training that it asks for."""
    tensors = task.fit.start if trained is None else trained.tensors
    if task.anchor is not None:
        tensors = between(task.anchor, tensors, task.share)
    return Model(tensors, task.fit.merges)


@dataclass(frozen=True, kw_only=True)
class EvaluationWork:
    """Works off evaluation tasks of one cell.

    Args:
        clients: client -> its data.
        seeds: of the cell.
    """

    evaluator: Evaluator
    clients: Callable[[int], ClientData]
    seeds: SeedTree

    def each(
        self, tasks: Iterable[EvaluationTask], answers: Callable[[Sequence[Asked]], Sequence[Found]], cohort: int
    ) -> Iterator[Mapping[str, float]]:
        """Metrics in the order of the tasks; `answers` trains.

        Raises:
            Diverged: a loss or a metric is not finite.
            PluginError: what training or measuring finds wrong.
        """
        before: tuple[EvaluationTask, Found] | None = None
        for some in gathered(tasks, cohort):
            found: Sequence[Found | None] = [None] * len(some)
            if before is not None and _trains_alike(before[0], some):
                found = [before[1]] * len(some)
            elif some[0].n_steps:
                with span("personalisation", ", ".join(str(task.client_id) for task in some)):
                    found = answers([self.asked(task) for task in some])
                before = some[-1], found[-1]
            for task, answer in zip(some, found, strict=True):
                if isinstance(answer, Exception):
                    raise answer
                yield self._measured(model_of(task, answer), task)

    def asked(self, task: EvaluationTask) -> Asked:
        """The local steps of a task whose model is trained before it is measured."""
        assert task.client_id is not None, "only a client trains"
        streams = FitStreams(self.seeds, task.round_index, task.client_id)
        data = self.clients(task.client_id).train
        return Asked(task.fit, data, streams, task.n_steps, task.learning_rate)

    def _measured(self, model: Model, task: EvaluationTask) -> Mapping[str, float]:
        if task.secrets:
            with span("leaks", task.client_id):
                return self.evaluator.exposed(model, task.secrets)
        config = self.evaluator.spec.config
        if task.client_id is None:
            with span("final evaluation", task.split):
                return self.evaluator.measure(model, self.evaluator.task.split(task.split), task.metrics)
        with span("client evaluation", task.client_id):
            heldout, halves = self.clients(task.client_id).heldout, config.personalization is not None
            return self.evaluator.measure(model, heldout, task.metrics, halves=halves)
