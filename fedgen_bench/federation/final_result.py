"""The result of a finished cell: export, scores and their spread over clients, what the model generates, digests."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch

from fedgen_bench.base.killpoints import passing
from fedgen_bench.base.spans import span
from fedgen_bench.contract.data import Tensors
from fedgen_bench.contract.messages import Model
from fedgen_bench.contract.reports import RunResult
from fedgen_bench.contract.seeds import digest
from fedgen_bench.federation.client_costs import costs_of
from fedgen_bench.federation.client_evaluation import spread
from fedgen_bench.federation.final_evaluation import final_scores
from fedgen_bench.federation.leaks import Seen, leaks_of
from fedgen_bench.federation.pieces import pieces
from fedgen_bench.federation.privacy import privacy_of
from fedgen_bench.suite.devices import TRACE

if TYPE_CHECKING:
    from fedgen_bench.contract.engines import Engine, Work
    from fedgen_bench.federation.client_states import ClientStates
    from fedgen_bench.federation.experiment import Experiment

_MERGE = "merge/"


def final_result(
    experiment: Experiment,
    state: Any,
    states: ClientStates,
    batch_digests: Sequence[str],
    work: Work,
    engine: Engine,
    seen: Seen = MappingProxyType({}),
) -> tuple[RunResult, bytes | None]:
    """Result of a finished cell, and the encoded global tensors (None when there is no global model).

    `seen` is what single updates gave away (see `leaks.Watch`).
    """
    model = experiment.export(state, None)
    passing("final.exported")
    scores = final_scores(experiment, state, states, model, work, engine)
    metrics, per_client = scores.splits, scores.clients
    metric = experiment.config.evaluation.own
    for name, values in per_client.items():
        if values:
            spread_of = spread(list(values.values()), lower_is_better=experiment.evaluator.lower_is_better)
            metrics |= {f"{name}/{metric}/{what}": value for what, value in spread_of.items()}
    if personalized := per_client.get("personalized"):
        never = set(map(int, personalized))
        for cohort in experiment.population.cohorts():
            never.difference_update(cohort)
        if unseen := [value for i, value in personalized.items() if int(i) in never]:
            metrics[f"personalized_unseen/{metric}/mean"] = sum(unseen) / len(unseen)
    passing("final.personalized")
    with span("costs"):
        costs = costs_of(experiment)
    leaks = leaks_of(experiment, state, states, model, seen, work, engine)
    shown: bytes | str | None = None
    if model is not None and experiment.spec.purpose != "tune":
        with span("picture"):
            shown = experiment.evaluator.showcase(model)
    showcase = base64.b64encode(shown).decode() if isinstance(shown, bytes) else ""
    sample = shown if isinstance(shown, str) else ""
    adapted, content = experiment.adapted, experiment.spec.content
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
        "backbone_params": experiment.task.backbone_parameters,
        "data": dict(experiment.task.provenance) | ({TRACE: content[TRACE]} if TRACE in content else {}),
        "final_sha256": "" if tensors is None else tensors_digest(tensors),
    }
    final = None if tensors is None else pieces(tensors).whole()
    privacy = privacy_of(experiment)
    return RunResult(
        status="done",
        reason="",
        metrics=metrics,
        per_client=per_client,
        digests=digests,
        facts=facts,
        showcase=showcase,
        sample=sample,
        halves=scores.halves,
        leaks={} if leaks is None else asdict(leaks),
        costs={} if costs is None else asdict(costs),
        clock=_clock(experiment, per_client),
        privacy={} if privacy is None else asdict(privacy),
    ), final


def _clock(experiment: Experiment, per_client: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Who of the evaluated clients is on the slowest devices; empty where no clock runs."""
    fleet = experiment.fleet
    if fleet is None or experiment.cohort_kind != "sampled":
        return {}
    measured = {int(client) for of_client in per_client.values() for client in of_client}
    return {"slow": fleet.slow_tenth(sorted(measured))}


def named_tensors(model: Model) -> Tensors:
    """A model as one map; its merges as `merge/<number>/<name>`."""
    merges = {
        f"{_MERGE}{index}/{name}": tensor for index, merge in enumerate(model.merges) for name, tensor in merge.items()
    }
    return {**model.tensors, **merges}


def model_of(tensors: Tensors) -> Model:
    """The model that `named_tensors` gave this map of."""
    own: dict[str, torch.Tensor] = {}
    merges: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith(_MERGE):
            index, _, inner = name.removeprefix(_MERGE).partition("/")
            merges.setdefault(int(index), {})[inner] = tensor
        else:
            own[name] = tensor
    return Model(own, tuple(merges[index] for index in sorted(merges)))


def tensors_digest(tensors: Tensors) -> str:
    """Hex sha256 over names, dtypes, shapes and values."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        total.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        total.update(tensor.flatten().view(torch.uint8).numpy().data)
    return total.hexdigest()
