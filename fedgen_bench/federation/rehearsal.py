"""A cell's first round without training: what a strategy gets wrong is told before any time is spent on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fedgen_bench.base.errors import PluginError, WireError
from fedgen_bench.base.guards import guarded
from fedgen_bench.contract.messages import FitReport, Model
from fedgen_bench.federation import wire
from fedgen_bench.federation.asked import Asked
from fedgen_bench.federation.client_evaluation import near, own_fit, ways_of
from fedgen_bench.federation.exchange import Admitted, begin
from fedgen_bench.federation.experiment import Experiment
from fedgen_bench.federation.parameters import load_tensors
from fedgen_bench.federation.release import own
from fedgen_bench.federation.trainer import check_trainable


def rehearse(experiment: Experiment, state: Any) -> None:
    """Send to the first client, answer its fits with their own start, and aggregate its update for the whole cohort.

    Raises:
        PluginError: a payload that does not travel, a client half that never yields or returns no `Update`, an update
            that is not what the payload asked for, an export that the adapter cannot load; an attack that gives other
            tensors than it is given.
    """
    if experiment.cohort_kind == "none":
        return
    name = experiment.spec.config.contender.strategy.name
    client_id = experiment.cohort(0)[0]
    ctx = experiment.context(0, client_id, {})
    with guarded(f"{experiment.strategy_name}.send", ctx=ctx, state=state):
        payload = experiment.strategy.send(own(state), ctx)
    task, exchange = begin(experiment.link, payload, ctx, {})

    def unchanged(asked: Asked) -> FitReport:
        start = asked.request.start
        experiment.adapted.fold(asked.request.merges)
        load_tensors(experiment.adapted.trainable, start, experiment.adapted.low_rank)
        return FitReport(dict(start), ctx.n_examples, asked.n_steps, 0.0, "")

    work = experiment.work()
    outcome = work.run(task, unchanged)
    if work.attack is not None:  # whoever the seed makes hostile
        replace(work, attackers=frozenset({client_id})).run(task, unchanged)
    if outcome.message is None and exchange.reply:
        outcome = replace(outcome, message=wire.encode({}, exchange.asked))
    try:
        opened = exchange.opened(outcome, "ClientWork.run")
    except WireError as error:
        if error.code == "malformed":  # a compressor's doing, not the strategy's
            raise
        mend = "Return the tensors that were sent, or say in `Payload.reply` what an update carries."
        if error.code == "n_examples":
            mend = "Return `fit.n_examples`."
        raise PluginError(f"Strategy `{name}`: {error} {mend}") from error
    cohort = experiment.cohort(0)
    update = Admitted(opened.tensors, opened.n_examples, None, client_id, exchange.received)
    with guarded(f"{experiment.strategy_name}.aggregate", state=state):
        after = _aggregated(experiment, state, [replace(update, client_id=i) for i in cohort])
    everybodys = experiment.export(after, None)
    for model in (everybodys, experiment.export(after, ctx)):
        if model is not None:
            _load(experiment, model, name)
    for way in ways_of(experiment.config).values():
        request = own_fit(experiment, after, {}, client_id, way)
        if request is None:
            continue
        near(experiment, everybodys, request, way)
        if way.steps:
            check_trainable(experiment.adapted, request)
            _load(experiment, Model(request.start, request.merges), name)


def _aggregated(experiment: Experiment, state: Any, updates: Sequence[Admitted]) -> Any:
    ctx = experiment.round_context(0)
    if experiment.release is None:
        return experiment.strategy.aggregate(state, iter(updates), ctx)
    after, _ = experiment.release.aggregated(experiment.strategy, state, iter(updates), ctx)
    return after


def _load(experiment: Experiment, model: Model, name: str) -> None:
    try:
        experiment.adapted.fold(model.merges)
        load_tensors(experiment.adapted.trainable, model.tensors, experiment.adapted.low_rank)
    except PluginError as error:
        raise PluginError(f"Strategy `{name}` exports what the adapter cannot load: {error}") from error
