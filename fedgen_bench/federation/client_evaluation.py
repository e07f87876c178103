"""Clients on their own held-out data after the last round: the global model, and each client's own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fedgen_bench.contract.engines import EvaluationTask
from fedgen_bench.contract.messages import Fit, Model
from fedgen_bench.federation.client_states import own_part
from fedgen_bench.federation.seeding import seed_tree

if TYPE_CHECKING:
    from fedgen_bench.federation.client_states import ClientStates
    from fedgen_bench.federation.experiment import Experiment


def client_tasks(
    experiment: Experiment, state: Any, states: ClientStates, model: Model | None
) -> Iterator[tuple[str, EvaluationTask]]:
    """The followed metric on held-out tails of the evaluated clients: first of the `global` model, then `personalized`.

    The latter are the clients' own adapters after `personalized_steps` more local steps; there are none where nothing
    is trained.
    """
    clients, names = evaluated_clients(experiment), experiment.config.evaluation.round_metrics
    if model is not None:
        fit = Fit(model.tensors, merges=model.merges)
        for client_id in clients:
            yield "global", EvaluationTask(fit=fit, client_id=client_id, metrics=names)
    n_rounds, n_steps = experiment.n_rounds, experiment.config.evaluation.personalized_steps
    for client_id in clients if experiment.cohort_kind != "none" else ():
        own = personal_fit(experiment, state, states, client_id)
        if own is not None:
            task = EvaluationTask(fit=own, n_steps=n_steps, round_index=n_rounds, client_id=client_id, metrics=names)
            yield "personalized", task


def personal_fit(experiment: Experiment, state: Any, states: ClientStates, client_id: int) -> Fit | None:
    """The client's own adapter, and how it goes on from there; None where it has none."""
    keep = own_part(states.get(client_id)) if experiment.cohort_kind == "sampled" else {}
    ctx = experiment.context(experiment.n_rounds, client_id, keep)
    model = experiment.export(state, ctx)
    if model is None:
        return None
    if not experiment.config.evaluation.personalized_steps:
        return Fit(model.tensors, merges=model.merges)
    return experiment.personalize(state, ctx, model)


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
