"""One cell, from its start or its checkpoint to its last round; every round is committed before the next begins."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from fedgen_bench.base.errors import PluginError
from fedgen_bench.base.killpoints import passing
from fedgen_bench.base.spans import span
from fedgen_bench.contract.reports import RoundReport, RunResult
from fedgen_bench.contract.seeds import digest
from fedgen_bench.federation.assembly import assemble
from fedgen_bench.federation.changes import is_finite
from fedgen_bench.federation.client_states import ClientStates
from fedgen_bench.federation.final_result import final_result
from fedgen_bench.federation.forms import Before, Form, form_of
from fedgen_bench.federation.rehearsal import rehearse
from fedgen_bench.federation.statecodec import decode_state, laid_out, state_file
from fedgen_bench.results.journal import Checkpoint

if TYPE_CHECKING:
    from fedgen_bench.contract.data import Tensors
    from fedgen_bench.contract.engines import Engine
    from fedgen_bench.federation.arrivals import Arrivals
    from fedgen_bench.federation.blueprint import Blueprint
    from fedgen_bench.federation.experiment import Experiment
    from fedgen_bench.federation.loader import Loader
    from fedgen_bench.federation.round import Round
    from fedgen_bench.results.journal import Journal

OnRound = Callable[[RoundReport], None]


def run_cell(
    blueprint: Blueprint, loader: Loader, journal: Journal, engine: Engine, on_round: OnRound
) -> tuple[RunResult, bytes | None]:
    """Run or resume one cell; every round is committed before the next begins.

    Returns the result and the encoded global tensors (None when there is no global model).
    """
    experiment = assemble(blueprint.spec, loader, torch.device(blueprint.device))
    work = experiment.work(blueprint)
    form = form_of(experiment, work, engine)
    state = experiment.first_state()
    checkpoint = journal.checkpoint()
    if checkpoint is None:
        with span("rehearse"):
            rehearse(experiment, state)
        checkpoint, between = Checkpoint(0, b"", (), {}), form.first(state)
    else:
        between = decode_state(checkpoint.state, form.like(state))
    states = ClientStates(journal.keep_file, checkpoint.keep_rounds)
    admitted, now = dict(checkpoint.admitted_rounds), checkpoint.simulated
    for round_index in range(checkpoint.next_round, experiment.n_rounds):
        this = form.round(round_index, Before(between, states.get, admitted, now))
        with span("round", round_index):
            between, report = _committed(this, form, experiment, states, journal)
        admitted |= dict.fromkeys(report.admitted, round_index)
        now = now if report.clock is None else report.clock.ended
        on_round(report)
    state = form.state(between)
    return final_result(experiment, state, states, journal.batch_digests(), work, engine, journal.leaks_seen())


def _committed(
    this: Round | Arrivals, form: Form, experiment: Experiment, states: ClientStates, journal: Journal
) -> tuple[Any, RoundReport]:
    """What lies behind the round, evaluated and committed, and its report."""
    began = time.perf_counter()
    passing("round.began")
    between = this.aggregate()
    with span("state"):
        tensors, skeleton = laid_out(between)
        _check_finite(tensors, this.index)
    passing("round.aggregated")
    with span("evaluate"):
        metrics = _metrics(experiment, form.state(between), this.index)
    passing("round.evaluated")
    report = RoundReport(
        round_index=this.index,
        cohort=this.asked,
        n_accepted=this.n_accepted,
        quarantined=tuple(this.quarantined),
        mean_loss=sum(this.losses) / len(this.losses),
        metrics=metrics,
        batch_digest=digest(*this.batch_digests),
        ledger=tuple(sorted(this.ledger, key=lambda one: (one.client_id, one.direction))),
        seconds=time.perf_counter() - began,
        drift=this.drift.summary(),
        leaks=this.leaks,
        n_steps=this.n_steps,
        clock=this.clock,
    )
    with span("commit") as commit:
        state, written = state_file(tensors, skeleton), states.written(this.new_keeps)
        commit.carried(sum(memoryview(part).nbytes for part in state) + len(written.content or b""))
        journal.commit_round(report, state, written.content, written.older)
        states.put(this.index, this.new_keeps, written)
    return between, report


def _metrics(experiment: Experiment, state: Any, round_index: int) -> dict[str, float]:
    """On the validation subset after the last round and every `evaluation.every` before it; else nothing."""
    last = round_index == experiment.n_rounds - 1
    if not last and (round_index + 1) % experiment.config.evaluation.every:
        return {}
    model = experiment.export(state, None)
    if model is None:
        return {}
    return experiment.evaluator.measure(
        model, experiment.task.split("valid_subset"), experiment.config.evaluation.round_metrics
    )


def _check_finite(state: Tensors, round_index: int) -> None:
    for name, tensor in state.items():
        if not is_finite(tensor):
            raise PluginError(f"Round {round_index}: the aggregate holds NaN or infinity in `{name}`.")
