"""One round: an exchange with each client of the cohort through the engine, the gate, and `aggregate`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from fedgen_bench.base.errors import PluginError, RoundFailed, WireError
from fedgen_bench.base.failures import blamed
from fedgen_bench.base.guards import guarded
from fedgen_bench.base.killpoints import passing
from fedgen_bench.base.spans import span
from fedgen_bench.contract.data import Tensors
from fedgen_bench.contract.engines import ClientOutcome, ClientTask
from fedgen_bench.contract.messages import Update
from fedgen_bench.contract.reports import LedgerEntry, Quarantine
from fedgen_bench.federation.broadcast import Broadcast
from fedgen_bench.federation.drift import Drift
from fedgen_bench.federation.exchange import Exchange, begin

if TYPE_CHECKING:
    from fedgen_bench.contract.contexts import ClientContext, RoundContext
    from fedgen_bench.contract.engines import Engine
    from fedgen_bench.contract.protocols import Strategy
    from fedgen_bench.federation.client_work import ClientWork
    from fedgen_bench.federation.link import Link


class Conditions(Protocol):
    """What a round must know of its experiment."""

    @property
    def strategy(self) -> Strategy:
        """The method."""

    @property
    def strategy_name(self) -> str:
        """What messages call its code."""

    @property
    def cohort_kind(self) -> str:
        """See `StrategySpec.cohort`."""

    @property
    def quorum(self) -> int:
        """Valid updates below which a round fails."""

    @property
    def link(self) -> Link:
        """What lies between server and clients."""

    def cohort(self, round_index: int) -> tuple[int, ...]:
        """Client ids of a round, ascending."""

    def context(self, round_index: int, client_id: int, keep: Tensors, kept_in: int = -1) -> ClientContext:
        """What the strategy is told about a client in a round."""

    def round_context(self, round_index: int) -> RoundContext:
        """What the strategy is told when it aggregates."""


@dataclass(kw_only=True)
class Round:
    """One round, and what it gathers while its updates stream into `aggregate`.

    Args:
        keep: a client's private state, the core's part of it included.
        admitted: by client, the last round in which an update of it was admitted.
    """

    experiment: Conditions
    index: int
    state: Any
    work: ClientWork
    engine: Engine
    keep: Callable[[int], Tensors]
    admitted: Mapping[int, int]
    ledger: list[LedgerEntry] = field(init=False, default_factory=list)
    quarantined: list[Quarantine] = field(init=False, default_factory=list)
    new_keeps: dict[int, Tensors] = field(init=False, default_factory=dict)
    losses: list[float] = field(init=False, default_factory=list)
    batch_digests: list[str] = field(init=False, default_factory=list)
    drift: Drift = field(init=False, default_factory=Drift)
    n_accepted: int = field(init=False, default=0)
    _broadcast: Broadcast = field(init=False)
    _begun: dict[int, Exchange] = field(init=False, default_factory=dict)
    _answered: set[int] = field(init=False, default_factory=set)
    _failure: Exception | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._broadcast = Broadcast(self.experiment.link)

    def tasks(self) -> Iterator[ClientTask]:
        """Send to each client of the cohort: compress, encode, book, hand over the bytes."""
        experiment = self.experiment
        for client_id in experiment.cohort(self.index):
            ctx = experiment.context(self.index, client_id, {}, self.admitted.get(client_id, -1))
            with span("send", client_id), guarded(f"{experiment.strategy_name}.send", ctx=ctx):
                payload = experiment.strategy.send(self.state, ctx)
            with span("encode", client_id) as encoding:
                task, exchange = begin(experiment.link, payload, ctx, self.keep(client_id), self._broadcast)
                encoding.carried(len(task.message or b""))
            self._begun[client_id] = exchange
            self._book(exchange.down)
            if payload is not None:
                passing("client.sent")
            yield task

    def _book(self, entry: LedgerEntry | None) -> None:
        if entry is not None and self._travels:
            self.ledger.append(entry)

    @property
    def _travels(self) -> bool:
        """Whether anything does: pooled data and their model stand on one machine."""
        return self.experiment.cohort_kind == "sampled"

    def updates(self) -> Iterator[Update]:
        """Admitted updates in client-id order; whatever the gate refuses is quarantined with its code."""
        for outcome in self._outcomes():
            self.losses.append(outcome.mean_loss)
            self.batch_digests.append(outcome.batch_digest)
            try:
                with span("gate", outcome.client_id) as gate:
                    gate.carried(len(outcome.message or b""))
                    exchange = self._exchange_of(outcome)
                    self._book(exchange.booked(outcome))
                    update, changes = exchange.admitted(outcome, f"{type(self.engine).__name__}.run")
            except WireError as error:
                self.quarantined.append(Quarantine(outcome.client_id, error.code, str(error)))
                continue
            passing("gate.admitted")
            keep = exchange.kept(outcome, self.keep)
            if keep is not None:
                self.new_keeps[outcome.client_id] = keep
            if exchange.down is not None and self._travels:
                with span("drift", outcome.client_id):
                    self.drift.add(changes, update.n_examples)
            self.n_accepted += 1
            yield update
            del outcome, exchange, update, changes, keep  # their memory is free while the next client is trained

    def _outcomes(self) -> Iterator[ClientOutcome]:
        """The engine's outcomes, as far as they are some; what goes wrong is kept for who swallows it."""
        what = f"{type(self.engine).__name__}.run"
        try:
            with blamed(what):
                outcomes = iter(self.engine.run(self.tasks(), self.work))
            while True:
                with span("engine"), blamed(what):
                    outcome = next(outcomes, None)
                if outcome is None:
                    self._broadcast.check()  # before `aggregate` goes on, which may write into what was sent
                    return
                yield _sound(outcome, what)
                del outcome  # as in `updates`
        except Exception as error:
            self._failure = error
            raise

    def _exchange_of(self, outcome: ClientOutcome) -> Exchange:
        """The exchange that an outcome ends. Raises WireError for a second answer, and for one of nobody's."""
        if outcome.client_id in self._answered:
            raise WireError("duplicate", f"Client {outcome.client_id} answered twice.")
        if outcome.client_id not in self._begun:
            raise WireError("wrong_client", f"Client {outcome.client_id} was not asked.")
        self._answered.add(outcome.client_id)
        return self._begun.pop(outcome.client_id)

    def aggregate(self) -> Any:
        """The next state. Raises RoundFailed below the quorum."""
        experiment = self.experiment
        stream = self.updates()
        first = next(stream, None)
        state = None
        if first is not None:
            ctx = experiment.round_context(self.index)
            updates = _behind([first], stream)
            del first  # nobody holds it while the next client is trained
            with span("aggregate"), guarded(f"{experiment.strategy_name}.aggregate", state=self.state):
                state = experiment.strategy.aggregate(self.state, updates, ctx)
            if self._failure is not None:  # `aggregate` caught what went wrong in a client
                raise self._failure
            for _ in updates:  # a strategy that reads only some updates does not save the others their work
                pass
        if self.n_accepted < experiment.quorum:
            codes = ", ".join(sorted({one.code for one in self.quarantined})) or "no answer"
            raise RoundFailed(
                f"Round {self.index}: {self.n_accepted} valid updates, the suite wants {experiment.quorum} ({codes})."
            )
        return state


def _behind(first: list[Update], others: Iterator[Update]) -> Iterator[Update]:
    yield first.pop()
    yield from others


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
