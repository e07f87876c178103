"""Clients on their own held-out data after the last round: the global model, and each client's own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fedgen_bench.contract.data import ClientData
from fedgen_bench.contract.messages import Model
from fedgen_bench.federation.batches import FitStreams
from fedgen_bench.federation.client_states import own_part
from fedgen_bench.federation.seeding import seed_tree
from fedgen_bench.federation.trainer import fit

if TYPE_CHECKING:
    from fedgen_bench.federation.client_states import ClientStates
    from fedgen_bench.federation.experiment import Experiment


def evaluate_clients(
    experiment: Experiment, state: Any, states: ClientStates, model: Model | None
) -> dict[str, dict[str, float]]:
    """The followed metric on held-out tails of the evaluated clients: `global` and `personalized`, by client id."""
    evaluation = experiment.config.evaluation

    def value(model: Model, heldout: Any) -> float:
        return experiment.evaluator.measure(model, heldout, evaluation.round_metrics)[evaluation.followed]

    scores: dict[str, dict[str, float]] = {"global": {}, "personalized": {}}
    for client_id in evaluated_clients(experiment):
        data = experiment.population.client(client_id)
        if model is not None:
            scores["global"][str(client_id)] = value(model, data.heldout)
        own = _personal(experiment, state, states, client_id, data)
        if own is not None:
            scores["personalized"][str(client_id)] = value(own, data.heldout)
    return scores


def _personal(
    experiment: Experiment, state: Any, states: ClientStates, client_id: int, data: ClientData
) -> Model | None:
    """The client's own adapter after `personalized_steps` more local steps; None when nothing is trained."""
    if experiment.cohort_kind == "none":
        return None
    n_rounds, seeds = experiment.n_rounds, seed_tree(experiment.spec)
    sampled = experiment.cohort_kind == "sampled"
    ctx = experiment.context(n_rounds, client_id, own_part(states.get(client_id)) if sampled else {})
    model = experiment.export(state, ctx)
    n_steps = experiment.config.evaluation.personalized_steps
    if model is None or not n_steps:
        return model
    request = experiment.personalize(state, ctx, model)
    streams = FitStreams(seeds, n_rounds, client_id)
    report = fit(experiment.adapted, experiment.task, data.train, request, experiment.plan, streams, n_steps)
    return Model(report.tensors, request.merges)


def evaluated_clients(experiment: Experiment) -> tuple[int, ...]:
    """Clients whose held-out tails are evaluated: a fixed draw from the evaluation stream among those with data."""
    holdings, wanted = experiment.population.holdings, experiment.config.evaluation.personalized_clients
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
