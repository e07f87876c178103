"""What a server gathers while clients answer: booked messages, what the gate admits, private states, figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from fedgen_bench.base.errors import PluginError, WireError
from fedgen_bench.base.failures import blamed
from fedgen_bench.base.guards import guarded
from fedgen_bench.base.killpoints import passing
from fedgen_bench.base.spans import span
from fedgen_bench.contract.data import Tensors
from fedgen_bench.contract.engines import ClientOutcome
from fedgen_bench.contract.reports import LedgerEntry, Quarantine
from fedgen_bench.federation.broadcast import Broadcast
from fedgen_bench.federation.drift import Drift
from fedgen_bench.federation.exchange import Admitted, Exchange, begin
from fedgen_bench.federation.release import Release, own

if TYPE_CHECKING:
    from fedgen_bench.contract.contexts import ClientContext, RoundContext
    from fedgen_bench.contract.engines import ClientTask, Engine
    from fedgen_bench.contract.protocols import Strategy
    from fedgen_bench.federation.client_work import ClientWork
    from fedgen_bench.federation.link import Link


Watch = Callable[[int, Any, int, Tensors, Tensors], Mapping[str, float]]  # see `leaks.Watch.seen`


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

    @property
    def release(self) -> Release | None:
        """What stands between the gate and the strategy; None where updates reach it one by one."""

    def cohort(self, round_index: int) -> tuple[int, ...]:
        """Client ids of a round, ascending."""

    def context(self, round_index: int, client_id: int, keep: Tensors, kept_in: int = -1) -> ClientContext:
        """What the strategy is told about a client in a round."""

    def round_context(self, round_index: int) -> RoundContext:
        """What the strategy is told when it aggregates."""


@dataclass(kw_only=True)
class Intake:
    """What is gathered until a round ends, exchange by exchange.

    Args:
        keep: a client's private state, the core's part of it included.
        admitted_in: by client, the last round in which an update of it was admitted.
        watch: looks at admitted updates for what they give away; nobody does when None.
    """

    experiment: Conditions
    index: int
    state: Any
    work: ClientWork
    engine: Engine
    keep: Callable[[int], Tensors]
    admitted_in: Mapping[int, int]
    watch: Watch | None = None
    ledger: list[LedgerEntry] = field(init=False, default_factory=list)
    quarantined: list[Quarantine] = field(init=False, default_factory=list)
    new_keeps: dict[int, Tensors] = field(init=False, default_factory=dict)
    losses: list[float] = field(init=False, default_factory=list)
    batch_digests: list[str] = field(init=False, default_factory=list)
    drift: Drift = field(init=False, default_factory=Drift)
    leaks: dict[str, float] = field(init=False, default_factory=dict)
    n_accepted: int = field(init=False, default=0)
    n_steps: int = field(init=False, default=0)

    @property
    def answering(self) -> str:
        """Whose code gives outcomes, for messages."""
        return f"{type(self.engine).__name__}.run"

    def begun(self, state: Any, ctx: ClientContext, broadcast: Broadcast | None = None) -> tuple[ClientTask, Exchange]:
        """A state for a client, compressed and encoded: the task has the bytes. `broadcast` knows others' messages."""
        experiment, client_id = self.experiment, ctx.client_id
        with span("send", client_id), guarded(f"{experiment.strategy_name}.send", ctx=ctx):
            payload = experiment.strategy.send(own(state), ctx)
        with span("encode", client_id) as encoding:
            task, exchange = begin(experiment.link, payload, ctx, self.keep(client_id), broadcast)
            encoding.carried(len(task.message or b""))
        return task, exchange

    def outcomes(self, tasks: Iterable[ClientTask]) -> Iterator[ClientOutcome]:
        """The engine's outcomes of tasks, as far as they are some. What the engine raises is told as its own."""
        with blamed(self.answering):
            outcomes = iter(self.engine.run(tasks, self.work))
        while True:
            with span("engine"), blamed(self.answering):
                outcome = next(outcomes, None)
            if outcome is None:
                return
            yield _sound(outcome, self.answering)
            del outcome  # its memory is free while the next client is trained

    def book(self, entry: LedgerEntry | None) -> None:
        """Into the ledger, where there is something to book."""
        if entry is not None and self._travels:
            self.ledger.append(entry)

    @property
    def _travels(self) -> bool:
        """Whether anything does: pooled data and their model stand on one machine."""
        return self.experiment.cohort_kind == "sampled"

    @property
    def _carried(self) -> bool:
        """Whether updates travel in messages of the mechanism's own."""
        return self.experiment.release is not None and self.experiment.release.carries

    def admitted(
        self, outcome: ClientOutcome, sent: Any, exchange_of: Callable[[ClientOutcome], Exchange]
    ) -> Admitted | None:
        """The update, or None where the gate refuses it: it is quarantined, with the code of why.

        Args:
            outcome: the client's answer.
            sent: the strategy's state that the client was sent from.
            exchange_of: gives the exchange that an outcome ends, or raises WireError, which counts as the gate's.
        """
        self.losses.append(outcome.mean_loss)
        self.n_steps += outcome.n_steps
        try:
            with span("gate", outcome.client_id) as gate:
                gate.carried(len(outcome.message or b""))
                exchange = exchange_of(outcome)
                if not self._carried:
                    self.book(exchange.booked(outcome))
                update, changes = exchange.admitted(outcome, self.answering)
        except WireError as error:
            self.quarantined.append(Quarantine(outcome.client_id, error.code, str(error)))
            return None
        passing("gate.admitted")
        keep = exchange.kept(outcome, self.keep)
        if keep is not None:
            self.new_keeps[outcome.client_id] = keep
        if exchange.down is not None and self._travels:
            with span("drift", outcome.client_id):
                self.drift.add(changes, update.n_examples)
        if self.watch is not None and not self._carried:
            asked_in, received = exchange.asked.round_index, exchange.received
            self.leaks |= self.watch(asked_in, sent, outcome.client_id, received, update.tensors)
        self.n_accepted += 1
        return update


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
