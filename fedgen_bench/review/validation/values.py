"""Numbers that no cell can give."""

from __future__ import annotations

import base64
import binascii
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from fedgen_bench.contract.protocols import PNG_SIGNATURE
from fedgen_bench.review.validation.notices import Notice, label, problem, remark
from fedgen_bench.suite.cellconfig import canonical

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.results.record import Record

GROUP = "values"
_ROUNDING = 1e-6  # of sums in another order, and below a metric's minimum
_OF_CLIENTS = ("global", "kept", "personalized", "personalized_unseen")
_SPREAD = ("mean", "std", "worst_decile")


def values(records: Sequence[Record], registry: Registry) -> Iterator[Notice]:
    """Metrics, clients' metrics, curves, refused updates and pictures of every record."""
    for record in records:
        of_clients = (*_clients(record), *_halves(record, registry))
        for text in (*_metrics(record, registry), *of_clients, *_curve(record, registry), *_others(record)):
            yield problem(GROUP, f"{label(record)}: {text}")


def _metrics(record: Record, registry: Registry) -> Iterator[str]:
    evaluation, known = record.config.evaluation, registry.components["metric"]
    for key, value in record.metrics.items():
        split, _, rest = key.partition("/")
        metric, _, part = rest.partition("/")
        if split not in ("valid", "test", *_OF_CLIENTS) or metric not in evaluation.metrics:
            yield f"`metrics.{key}` is none of the suite's metrics. Remove it."
        elif split in _OF_CLIENTS and part == "std":
            if value < 0:
                yield f"`metrics.{key}` is {value}, a deviation below 0."
        elif metric in known:
            yield from _outside(f"metrics.{key}", value, known[metric].spec)
    if record.status == "done" and record.facts.final_sha256:
        for metric in (evaluation.metric, *evaluation.other_metrics):
            for split in ("valid", "test"):
                start = f"{split}/{metric}"
                if not any(key == start or key.startswith(f"{start}/") for key in record.metrics):
                    yield f"`metrics.{start}` is missing, and there is a global model. Publish it again."
    for model in ("global", "kept", "personalized"):
        start = f"{model}/{record.own}"
        mean, worst = (record.metrics.get(f"{start}/{what}") for what in ("mean", "worst_decile"))
        if mean is None or worst is None or record.own not in known:
            continue
        gap = worst - mean if known[record.own].spec.lower_is_better else mean - worst
        if gap < -_ROUNDING * max(1.0, abs(mean)):
            yield f"`metrics.{start}/worst_decile` is {worst}, better than the mean {mean}."


def _outside(where: str, value: float, spec: Any) -> Iterator[str]:
    if spec.minimum is not None and value < spec.minimum - _ROUNDING:
        yield f"`{where}` is {value}, {spec.unit or spec.name} is never below {spec.minimum:g}."
    if spec.maximum is not None and value > spec.maximum + _ROUNDING:
        yield f"`{where}` is {value}, {spec.unit or spec.name} is never above {spec.maximum:g}."


def _clients(record: Record) -> Iterator[str]:
    """Clients' values within the population, and their spread computed again."""
    most, n_clients = record.config.own.clients, record.config.federation.n_clients
    for model, of_client in record.per_client.items():
        if len(of_client) > most:
            yield f"`per_client.{model}` has {len(of_client)} clients, the suite evaluates {most}."
        for client_id in of_client:
            if int(client_id) >= n_clients or str(int(client_id)) != client_id:
                yield f"`per_client.{model}.{client_id}` is no client: there are {n_clients}, counted from 0."
        for what in _SPREAD if of_client else ():
            key = f"{model}/{record.own}/{what}"
            found = record.metrics.get(key)
            meant = _spread(list(of_client.values()), found, what)
            if found is None or not math.isclose(found, meant, rel_tol=_ROUNDING, abs_tol=_ROUNDING * 1e-3):
                yield f"`metrics.{key}` is {found}, the values of `per_client.{model}` give {meant}."


def _halves(record: Record, registry: Registry) -> Iterator[str]:
    """Figures on halves of clients' data: of the clients that are measured, and within the metric's bounds."""
    if record.status != "done":
        return
    known = registry.components["metric"].get(record.own)
    for model, of_client in record.halves.items():
        if odd := sorted(of_client.keys() - record.per_client.get(model, {}).keys()):
            yield f"`halves.{model}` has client {odd[0]}, whom `per_client.{model}` does not have. Publish it again."
        if known is not None:
            for client_id, of_halves in of_client.items():
                for value in of_halves:
                    yield from _outside(f"halves.{model}.{client_id}", value, known.spec)


def _spread(of_clients: list[float], found: float | None, what: str) -> float:
    """A figure over clients; the worst tenth may be on either side, whichever is nearer to what was found."""
    n = len(of_clients)
    mean = math.fsum(of_clients) / n
    if what == "mean":
        return mean
    if what == "std":
        return math.sqrt(math.fsum((one - mean) ** 2 for one in of_clients) / (n - 1)) if n > 1 else 0.0
    k = max(1, n // 10)
    ends = [math.fsum(part) / k for part in (sorted(of_clients)[:k], sorted(of_clients)[-k:])]
    return min(ends, key=lambda one: abs(one - (mean if found is None else found)))


def _curve(record: Record, registry: Registry) -> Iterator[str]:
    config = record.config
    last, every = config.federation.rounds, config.evaluation.every
    spec = registry.components["metric"].get(record.followed)
    rounds = [one.n_rounds for one in record.curve]
    untrained = record.status == "done" and record.facts.cohort_kind == "none"
    for n_rounds, value, _ in record.curve:
        if untrained and n_rounds:
            yield f"its `curve` has round {n_rounds}, and nothing is trained."
        elif not untrained and (not 1 <= n_rounds <= last or (n_rounds != last and n_rounds % every)):
            yield f"its `curve` has round {n_rounds}: the suite evaluates every {every} of {last} rounds."
        if spec is not None:
            yield from _outside(f"curve, round {n_rounds}", value, spec.spec)
    if any(after <= before for before, after in itertools.pairwise(rounds)):
        yield "the rounds of its `curve` do not increase."
    elif record.status == "done" and record.facts.cohort_kind != "none" and record.facts.final_sha256:
        if not rounds or rounds[-1] != last:
            yield f"its `curve` does not reach round {last}, and there is a global model."
        elif any(after - before > every for before, after in itertools.pairwise(rounds)):
            yield f"its `curve` leaves rounds out: the suite evaluates every {every} rounds."


def _others(record: Record) -> Iterator[str]:
    federation = record.config.federation
    for round_index, client_id, code in record.quarantined:
        if round_index >= federation.rounds or not -1 <= client_id < federation.n_clients:
            yield f"`quarantined` has round {round_index}, client {client_id} ({code}), which the suite does not have."
    if record.status == "done" and (text := record.showcase):
        try:
            start = base64.b64decode(text, validate=True)[: len(PNG_SIGNATURE)]
        except (binascii.Error, ValueError):
            start = b""
        if start != PNG_SIGNATURE:
            yield "`showcase` is no PNG. Remove it."


def models(records: Sequence[Record]) -> Iterator[Notice]:
    """Facts that one task, adapter and seed fix are the same in every record; hashes look like hashes."""
    first: dict[str, tuple[Record, int]] = {}
    for record in records:
        if record.status != "done":
            continue
        config, facts = record.config, record.facts
        task = canonical(config.task)
        own = canonical([config.task, config.contender.adapter, config.seed])
        trained, backbone = facts.trainable_params, facts.backbone_params
        for what, key, value in (("backbone_params", task, backbone), ("trainable_params", own, trained)):
            other, expected = first.setdefault(f"{what} {key}", (record, value))
            if value != expected:
                said = f"`facts.{what}` is {value:,}, that of {other.name} {expected:,}"
                yield problem(GROUP, f"{label(record)}: {said}, with one task and adapter. One of them was changed.")
        if trained > backbone:
            yield remark(GROUP, f"{label(record)}: {trained:,} parameters are trained, the backbone has {backbone:,}.")
        for name, sha256 in facts.data.items():
            if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):  # noqa: PLR2004 - hex digits of a sha256
                yield problem(GROUP, f"{label(record)}: `facts.data.{name}` is {sha256!r}, no sha256.")
