"""Clients on their own held-out data after the last round: the global model, what a client kept, and its own model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fedgen_bench.base.errors import PluginError
from fedgen_bench.contract.engines import EvaluationTask
from fedgen_bench.contract.messages import Fit, Model
from fedgen_bench.contract.reports import GLOBAL, KEPT, PERSONALIZED
from fedgen_bench.federation.between import lies_apart
from fedgen_bench.federation.client_states import own_part
from fedgen_bench.federation.seeding import seed_tree

if TYPE_CHECKING:
    from fedgen_bench.contract.data import Tensors
    from fedgen_bench.federation.client_states import ClientStates
    from fedgen_bench.federation.experiment import Experiment
    from fedgen_bench.suite.cellconfig import CellConfig
    from fedgen_bench.suite.personalization import ResolvedWay


def ways_of(config: CellConfig) -> Mapping[str, ResolvedWay]:
    """How clients go on by themselves, by the name that they are measured under: one way, or those of a trial."""
    trials = {f"{PERSONALIZED}/{i}": one for i, one in enumerate(config.personalization_trials)}
    return trials or {PERSONALIZED: config.own}


def client_tasks(
    experiment: Experiment, state: Any, states: ClientStates, model: Model | None
) -> Iterator[tuple[str, EvaluationTask]]:
    """Clients' metrics on held-out tails of the evaluated clients: first of the `global` model, then their own.

    `kept` is what a client has after its last round, the global model where it was never asked; measured where the
    suite has `[personalization]` and clients keep anything. `personalized` are clients' models after more local steps;
    there are none where nothing is trained.
    """
    config, clients = experiment.config, evaluated_clients(experiment)
    names = config.evaluation.client_metrics
    if model is not None:
        fit = Fit(model.tensors, merges=model.merges)
        for client_id in clients:
            yield GLOBAL, EvaluationTask(fit=fit, client_id=client_id, metrics=names)
    if experiment.cohort_kind == "none":
        return
    if config.personalization is not None and any(_kept_by(experiment, states, one) for one in clients):
        for client_id in clients:
            own = experiment.export(state, experiment.last_context(client_id, _kept_by(experiment, states, client_id)))
            if own is not None:
                fit = Fit(own.tensors, merges=own.merges)
                yield KEPT, EvaluationTask(fit=fit, client_id=client_id, metrics=names)
    for client_id in clients:
        trained: dict[ResolvedWay, Fit] = {}
        for name, way in ways_of(config).items():
            task = own_task(experiment, state, states, model, client_id, way)
            if task is not None:
                fit = trained.setdefault(way.model_copy(update={"interpolation": 1.0}), task.fit)
                yield name, replace(task, fit=fit)


def own_task(
    experiment: Experiment, state: Any, states: ClientStates, model: Model | None, client_id: int, way: ResolvedWay
) -> EvaluationTask | None:
    """How a client goes on by itself, and the measurement of what comes of it; None where it has no model.

    Raises:
        PluginError: nothing lies between the global model and the client's, or there is no global one.
    """
    keep = _kept_by(experiment, states, client_id) if way.start == "kept" else {}
    fit = own_fit(experiment, state, keep, client_id, way)
    if fit is None:
        return None
    anchor = near(experiment, model, fit, way)
    return EvaluationTask(
        fit=fit,
        n_steps=way.steps,
        learning_rate=way.learning_rate,
        anchor=anchor,
        share=way.interpolation,
        round_index=experiment.n_rounds,
        client_id=client_id,
        metrics=experiment.config.evaluation.client_metrics,
    )


def own_fit(experiment: Experiment, state: Any, keep: Tensors, client_id: int, way: ResolvedWay) -> Fit | None:
    """What a client goes on from, and how; None where it has no model."""
    ctx = replace(experiment.last_context(client_id, keep), learning_rate=way.learning_rate)
    model = experiment.export(state, ctx)
    if model is None:
        return None
    return experiment.personalize(state, ctx, model) if way.steps else Fit(model.tensors, merges=model.merges)


def near(experiment: Experiment, model: Model | None, fit: Fit, way: ResolvedWay) -> Tensors | None:
    """The global tensors that a client's own are taken back towards; None where they are not. Raises as `own_task`."""
    if way.interpolation == 1:
        return None
    name = experiment.config.contender.strategy.name
    reason = "it has no global model" if model is None else lies_apart(model, fit)
    if reason is not None or model is None:
        raise PluginError(
            f"Strategy `{name}`: nothing lies between the global model and a client's, {reason}. Leave out "
            "`interpolation`."
        )
    return model.tensors


def _kept_by(experiment: Experiment, states: ClientStates, client_id: int) -> Tensors:
    return own_part(states.get(client_id)) if experiment.cohort_kind == "sampled" else {}


def evaluated_clients(experiment: Experiment) -> tuple[int, ...]:
    """Clients whose held-out tails are evaluated: a fixed draw from the evaluation stream among those with data."""
    wanted = max(way.clients for way in ways_of(experiment.config).values())
    holdings = experiment.population.holdings
    able = np.flatnonzero((holdings.n_train > 0) & holdings.has_heldout)
    rng = seed_tree(experiment.spec).numpy("evaluation", purpose="clients")
    return tuple(sorted(rng.choice(able, size=min(wanted, len(able)), replace=False).tolist())) if len(able) else ()


def spread(values: Sequence[float], *, lower_is_better: bool) -> dict[str, float]:
    """Mean, sample standard deviation, and the mean of the worst tenth (at least one client)."""
    n = len(values)
    mean = sum(values) / n
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1)) if n > 1 else 0.0
    worst = sorted(values, reverse=lower_is_better)[: max(1, n // 10)]
    return {"mean": mean, "std": deviation, "worst_decile": sum(worst) / len(worst)}
