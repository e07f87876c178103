"""The result of a finished cell: export, evaluation, digests. Test is read here and nowhere else."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save

from fedgen_bench.base.killpoints import passing
from fedgen_bench.contract.data import ClientData, Tensors
from fedgen_bench.contract.messages import Model
from fedgen_bench.contract.reports import RunResult
from fedgen_bench.contract.seeds import digest
from fedgen_bench.federation import wire
from fedgen_bench.federation.batches import FitStreams
from fedgen_bench.federation.client_states import own_part
from fedgen_bench.federation.seeding import seed_tree
from fedgen_bench.federation.trainer import fit

if TYPE_CHECKING:
    from fedgen_bench.federation.client_states import ClientStates
    from fedgen_bench.federation.experiment import Experiment


def final_result(
    experiment: Experiment, state: Any, states: ClientStates, batch_digests: Sequence[str]
) -> tuple[RunResult, bytes | None]:
    """Result of a finished run, and the encoded global tensors (None when there is no global model)."""
    model = experiment.export(state, None)
    passing("final.exported")
    task = experiment.task
    metrics: dict[str, float] = {}
    splits = ("valid",) if experiment.spec.purpose == "tune" else ("valid", "test")
    if model is not None:
        for split in splits:
            metrics |= {
                f"{split}/{name}": value
                for name, value in experiment.evaluator.measure(model, task.split(split)).items()
            }
    passing("final.evaluated")
    per_client: dict[str, dict[str, float]] = {}
    if experiment.spec.purpose != "tune":
        per_client = _per_client(experiment, state, states, model)
        followed = experiment.config.evaluation.followed
        for name, values in per_client.items():
            if values:
                spread_of = spread(list(values.values()), lower_is_better=experiment.evaluator.lower_is_better)
                metrics |= {f"{name}/{followed}/{what}": value for what, value in spread_of.items()}
        asked = {client_id for cohort in experiment.population.schedule for client_id in cohort}
        if unseen := [value for i, value in per_client["personalized"].items() if int(i) not in asked]:
            metrics[f"personalized_unseen/{followed}/mean"] = sum(unseen) / len(unseen)
    passing("final.personalized")
    showcase = experiment.evaluator.showcase(model) if model is not None and experiment.spec.purpose != "tune" else ""
    adapted = experiment.adapted
    tensors = None if model is None else named_tensors(model)
    digests = {
        "partition": experiment.population.partition_digest,
        "cohort": experiment.population.schedule_digest,
        "initial": tensors_digest(experiment.start),
        "batches": digest(*batch_digests),
    }
    trainable = sum(parameter.numel() for parameter in adapted.trainable.values())
    facts = {
        "cohort_kind": experiment.cohort_kind,
        "trainable_params": trainable,
        "backbone_params": task.backbone_parameters,
        "data": dict(task.provenance),
        "final_sha256": "" if tensors is None else tensors_digest(tensors),
    }
    final = None if tensors is None else save(wire.owned(tensors))
    return RunResult("done", "", metrics, per_client, digests, facts, showcase), final


def _per_client(
    experiment: Experiment, state: Any, states: ClientStates, model: Model | None
) -> dict[str, dict[str, float]]:
    """The followed metric on held-out tails of the evaluated clients: `global` and `personalized`, by client id."""
    chosen = evaluated_clients(experiment)

    def value(model: Model, heldout: Any) -> float:
        return experiment.evaluator.measure(model, heldout, experiment.config.evaluation.round_metrics)[
            experiment.config.evaluation.followed
        ]

    found: dict[str, dict[str, float]] = {"global": {}, "personalized": {}}
    for client_id in chosen:
        data = experiment.population.client(client_id)
        if model is not None:
            found["global"][str(client_id)] = value(model, data.heldout)
        own = _personal(experiment, state, states, client_id, data)
        if own is not None:
            found["personalized"][str(client_id)] = value(own, data.heldout)
    return found


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


def named_tensors(model: Model) -> Tensors:
    """A model as one map; its merges as `merge/<number>/<name>`."""
    merges = {
        f"merge/{index}/{name}": tensor for index, merge in enumerate(model.merges) for name, tensor in merge.items()
    }
    return {**model.tensors, **merges}


def evaluated_clients(experiment: Experiment) -> tuple[int, ...]:
    """Clients whose held-out tails are evaluated: a fixed draw from the evaluation stream among those with data."""
    population, wanted = experiment.population, experiment.config.evaluation.personalized_clients
    able = [
        i
        for i in range(len(population.parts))
        if population.client(i).train.n and population.client(i).heldout is not None
    ]
    rng = seed_tree(experiment.spec).numpy("evaluation", purpose="clients")
    return tuple(sorted(int(i) for i in rng.choice(able, size=min(wanted, len(able)), replace=False))) if able else ()


def spread(values: Sequence[float], *, lower_is_better: bool) -> dict[str, float]:
    """Mean, sample standard deviation, and the mean of the worst tenth (at least one client)."""
    n = len(values)
    mean = sum(values) / n
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1)) if n > 1 else 0.0
    worst = sorted(values, reverse=lower_is_better)[: max(1, n // 10)]
    return {"mean": mean, "std": deviation, "worst_decile": sum(worst) / len(worst)}


def tensors_digest(tensors: Tensors) -> str:
    """Hex sha256 over names, dtypes, shapes and values."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        total.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        total.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()
