"""What a finished cell is measured on, by the engine's workers where these can. Test is read here and nowhere else."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.errors import PluginError
from fedgen_bench.base.failures import blamed
from fedgen_bench.base.killpoints import passing
from fedgen_bench.base.spans import span
from fedgen_bench.contract.engines import Evaluating, EvaluationTask
from fedgen_bench.contract.messages import Fit, Model
from fedgen_bench.contract.reports import GLOBAL
from fedgen_bench.federation.client_evaluation import client_tasks, ways_of
from fedgen_bench.federation.evaluation import HALVES

if TYPE_CHECKING:
    from fedgen_bench.contract.engines import Engine, Work
    from fedgen_bench.federation.client_states import ClientStates
    from fedgen_bench.federation.experiment import Experiment


@dataclass(frozen=True)
class Scores:
    """Of a finished cell.

    Args:
        splits: metrics as `<split>/<metric>`.
        clients: by `global`, `kept` and `personalized`, each evaluated client's metric; empty where none are
            asked.
        halves: the same on either half of the clients' data, where the task gives them.
    """

    splits: dict[str, float] = field(default_factory=dict)
    clients: dict[str, dict[str, float]] = field(default_factory=dict)
    halves: dict[str, dict[str, tuple[float, float]]] = field(default_factory=dict)


def final_scores(
    experiment: Experiment, state: Any, states: ClientStates, model: Model | None, work: Work, engine: Engine
) -> Scores:
    """The global model on validation and test, then clients on their own data; of a tuning trial one of the two.

    A trial is on validation or, where it compares ways of personalisation, on clients' own data. A model that no round
    trains is measured once on what others' rounds are followed on.

    Raises:
        Diverged: a loss or a metric is not finite.
        PluginError: what measuring finds wrong; an engine that gives other metrics than it was given tasks for.
    """
    tuning, own = experiment.spec.purpose == "tune", bool(experiment.config.personalization_trials)
    splits = () if model is None or own else ("valid",) if tuning else ("valid", "test")
    followed = experiment.config.evaluation.followed
    wanted: dict[str, tuple[str, ...] | None] = dict.fromkeys(splits)
    if splits and not tuning and not experiment.n_rounds:
        wanted["valid_subset"] = (followed,)
    asks_clients = own or not tuning
    scores = Scores(clients={one: {} for one in (GLOBAL, *ways_of(experiment.config))} if asks_clients else {})
    asked: deque[tuple[str, int | None]] = deque()

    def tasks() -> Iterator[EvaluationTask]:
        for split, metrics in wanted.items():
            assert model is not None
            yield EvaluationTask(fit=Fit(model.tensors, merges=model.merges), split=split, metrics=metrics)
        for of, task in client_tasks(experiment, state, states, model) if asks_clients else ():
            asked.append((of, task.client_id))
            yield task

    found = measured(tasks(), work, engine)
    for split in wanted:
        scores.splits.update({f"{split}/{name}": value for name, value in next(found).items()})
    passing("final.evaluated")
    metric = experiment.config.evaluation.own
    for metrics in found:
        of, client_id = asked.popleft()
        scores.clients.setdefault(of, {})[str(client_id)] = metrics[metric]
        first, second = (metrics.get(f"{metric}/{half}") for half in HALVES)
        if first is not None and second is not None:
            scores.halves.setdefault(of, {})[str(client_id)] = first, second
    return scores


def measured(tasks: Iterator[EvaluationTask], work: Work, engine: Engine) -> Iterator[Mapping[str, float]]:
    """Metrics in the order of the tasks, one map for each."""
    if not isinstance(engine, Evaluating):
        yield from work.evaluate_each(tasks)
        return
    what, n_taken, n_given = f"{type(engine).__name__}.evaluate", 0, 0

    def counted() -> Iterator[EvaluationTask]:
        nonlocal n_taken
        for task in tasks:
            n_taken += 1
            yield task

    with blamed(what):
        outcomes = iter(engine.evaluate(counted(), work))
    while True:
        with span("engine"), blamed(what):
            metrics = next(outcomes, None)
        if metrics is None or n_given == n_taken:
            break
        n_given += 1
        yield _sound(metrics, what)
    if metrics is not None or n_given < n_taken or next(tasks, None) is not None:
        raise PluginError(f"{what} gave other metrics than those of {n_taken} tasks. Give each task's, in their order.")


def _sound(metrics: object, what: str) -> Mapping[str, float]:
    if isinstance(metrics, Mapping) and all(isinstance(one, float) and math.isfinite(one) for one in metrics.values()):
        return metrics
    raise PluginError(f"{what} gave {metrics!r} for a task. Give what `work.evaluate_each` gives.")
