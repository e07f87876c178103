"""One federated run: sample, send, fit, reply, admit, aggregate, evaluate, commit; until the last round."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load

from fedgen_bench.base.errors import PluginError, RoundFailed, WireError
from fedgen_bench.base.failures import blamed
from fedgen_bench.base.guards import guarded
from fedgen_bench.base.killpoints import passing
from fedgen_bench.contract.data import Tensors
from fedgen_bench.contract.messages import Update
from fedgen_bench.contract.reports import LedgerEntry, Quarantine, RoundReport, RunResult
from fedgen_bench.contract.seeds import digest
from fedgen_bench.federation.clients import ClientOutcome, ClientTask, ClientWork, Recipe
from fedgen_bench.federation.conclusion import conclude
from fedgen_bench.federation.drift import Drift
from fedgen_bench.federation.exchange import Exchange, begin
from fedgen_bench.federation.keeps import KeepStore
from fedgen_bench.federation.rehearsal import rehearse
from fedgen_bench.federation.setting import Setting
from fedgen_bench.federation.statecodec import decode_state, encode_state
from fedgen_bench.federation.world import Worlds
from fedgen_bench.results.cells import Checkpoint

if TYPE_CHECKING:
    from fedgen_bench.federation.clients import Engine
    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.results.cells import Cell

OnRound = Callable[[RoundReport], None]


@dataclass
class _RoundInProgress:
    """What one round gathers while its updates stream into `aggregate`."""

    setting: Setting
    work: ClientWork
    engine: Engine
    state: Any
    round_index: int
    keeps: KeepStore
    admitted: Mapping[int, int]
    ledger: list[LedgerEntry] = field(default_factory=list)
    quarantined: list[Quarantine] = field(default_factory=list)
    new_keeps: dict[int, Tensors] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)
    batch_digests: list[str] = field(default_factory=list)
    exchanges: dict[int, Exchange] = field(default_factory=dict)
    answered: set[int] = field(default_factory=set)
    drift: Drift = field(default_factory=Drift)
    n_accepted: int = 0
    failure: Exception | None = None

    def tasks(self) -> Iterator[ClientTask]:
        """Send to each client of the cohort: compress, encode, book, hand over the bytes."""
        setting = self.setting
        for client_id in setting.cohort(self.round_index):
            ctx = setting.context(self.round_index, client_id, {}, self.admitted.get(client_id, -1))
            with guarded(f"{setting.strategy_name}.send", ctx=ctx):
                payload = setting.strategy.send(self.state, ctx)
            task, exchange = begin(setting.link, payload, ctx, self.keeps.get(client_id))
            self.exchanges[client_id] = exchange
            self._book(exchange.down)
            if payload is not None:
                passing("client.sent")
            yield task

    def _book(self, entry: LedgerEntry | None) -> None:
        if (
            entry is not None and self.setting.cohort_kind == "sampled"
        ):  # pooled data and their model are on one machine
            self.ledger.append(entry)

    def updates(self) -> Iterator[Update]:
        """Admitted updates in client-id order; whatever the gate refuses is quarantined with its code."""
        for outcome in self._outcomes():
            self.losses.append(outcome.mean_loss)
            self.batch_digests.append(outcome.batch_digest)
            try:
                exchange = self._exchange_of(outcome)
                self._book(exchange.booked(outcome))
                update = exchange.admitted(outcome, f"{type(self.engine).__name__}.run")
            except WireError as error:
                self.quarantined.append(Quarantine(outcome.client_id, error.code, str(error)))
                continue
            passing("gate.admitted")
            keep = exchange.kept(outcome, self.keeps.get)
            if keep is not None:
                self.new_keeps[outcome.client_id] = keep
            if exchange.down is not None and self.setting.cohort_kind == "sampled":
                self.drift.add(update.tensors, exchange.received, update.n_examples)
            self.n_accepted += 1
            yield update

    def _outcomes(self) -> Iterator[ClientOutcome]:
        """The engine's outcomes, as far as they are some; what goes wrong is kept for who swallows it."""
        what = f"{type(self.engine).__name__}.run"
        try:
            with blamed(what):
                outcomes = iter(self.engine.run(self.tasks(), self.work))
            while True:
                with blamed(what):
                    outcome = next(outcomes, None)
                if outcome is None:
                    return
                yield _sound(outcome, what)
        except Exception as error:
            self.failure = error
            raise

    def _exchange_of(self, outcome: ClientOutcome) -> Exchange:
        """The exchange that an outcome ends. Raises WireError for a second answer, and for one of nobody's."""
        if outcome.client_id in self.answered:
            raise WireError("duplicate", f"Client {outcome.client_id} answered twice.")
        if outcome.client_id not in self.exchanges:
            raise WireError("wrong_client", f"Client {outcome.client_id} was not asked.")
        self.answered.add(outcome.client_id)
        return self.exchanges.pop(outcome.client_id)

    def aggregate(self) -> Any:
        """The next state. Raises RoundFailed below the quorum."""
        setting = self.setting
        stream = self.updates()
        first = next(stream, None)
        quorum = 1 if setting.cohort_kind == "pooled" else setting.config["federation"]["min_updates"]
        state = None
        if first is not None:
            ctx = setting.round_context(self.round_index)
            with guarded(f"{setting.strategy_name}.aggregate", state=self.state):
                state = setting.strategy.aggregate(self.state, itertools.chain([first], stream), ctx)
            if self.failure is not None:  # `aggregate` caught what went wrong in a client
                raise self.failure
            for _ in stream:  # a strategy that reads only some updates does not save the others their work
                pass
        if self.n_accepted < quorum:
            codes = ", ".join(sorted({one.code for one in self.quarantined})) or "no answer"
            raise RoundFailed(
                f"Round {self.round_index}: {self.n_accepted} valid updates, the suite wants {quorum} ({codes})."
            )
        return state


def _sound(outcome: object, what: str) -> ClientOutcome:
    """The outcome. Raises PluginError, naming the engine, when it is none or its loss is no finite number."""
    if not isinstance(outcome, ClientOutcome):
        raise PluginError(f"{what} gave a {type(outcome).__name__}. Give one `ClientOutcome` for each task.")
    loss: object = outcome.mean_loss
    if not isinstance(loss, int | float) or not math.isfinite(loss):
        raise PluginError(
            f"{what} gave the mean loss {loss!r} for client {outcome.client_id}. Give back outcomes as they are."
        )
    return outcome


def run_cell(
    recipe: Recipe, registry: Registry, worlds: Worlds, cell: Cell, engine: Engine, on_round: OnRound
) -> tuple[RunResult, bytes | None]:
    """Run or resume one cell; every round is committed before the next begins.

    Returns the result and the encoded global tensors (None when there is no global model).
    """
    setting = Setting.make(recipe.spec, registry, worlds, torch.device(recipe.device))
    with guarded(f"{setting.strategy_name}.init", start=setting.start):
        state = setting.strategy.init(dict(setting.start), setting.server_context())
    checkpoint = cell.checkpoint()
    if checkpoint is None:
        rehearse(setting, state)
        checkpoint = Checkpoint(0, b"", (), {})
    else:
        state = decode_state(checkpoint.state, state)
    keeps, admitted = KeepStore(cell.keep_file, checkpoint.keep_rounds), dict(checkpoint.admitted_rounds)
    work = setting.work(recipe)
    for round_index in range(checkpoint.next_round, setting.n_rounds):
        progress = _RoundInProgress(setting, work, engine, state, round_index, keeps, admitted)
        state, report = _one_round(progress, cell)
        refused = {one.client_id for one in report.quarantined}
        admitted |= dict.fromkeys((i for i in report.cohort if i not in refused), round_index)
        on_round(report)
    return conclude(setting, state, keeps, cell.batch_digests())


def _one_round(progress: _RoundInProgress, cell: Cell) -> tuple[Any, RoundReport]:
    """The committed round's state and report."""
    began = time.perf_counter()
    setting, round_index = progress.setting, progress.round_index
    passing("round.began")
    new_state = progress.aggregate()
    content = encode_state(new_state)
    _check_finite(content, round_index)
    passing("round.aggregated")
    metrics: dict[str, float] = {}
    last = round_index == setting.n_rounds - 1
    if last or (round_index + 1) % setting.config["evaluation"]["every"] == 0:
        model = setting.export(new_state, None)
        if model is not None:
            metrics = setting.measure(model, setting.task.split("valid_subset"), setting.round_metrics)
    passing("round.evaluated")
    ledger = sorted(progress.ledger, key=lambda one: (one.client_id, one.direction))
    report = RoundReport(
        round_index, setting.cohort(round_index), progress.n_accepted, tuple(progress.quarantined),
        sum(progress.losses) / len(progress.losses), metrics, digest(*progress.batch_digests), tuple(ledger),
        time.perf_counter() - began, progress.drift.summary(),
    )  # fmt: skip
    written = progress.keeps.written(progress.new_keeps)
    cell.commit_round(report, content, written.content, written.older)
    progress.keeps.put(round_index, progress.new_keeps, written)
    return new_state, report


def _check_finite(state: bytes, round_index: int) -> None:
    for name, tensor in load(state).items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise PluginError(f"Round {round_index}: the aggregate holds NaN or infinity in `{name}`.")
