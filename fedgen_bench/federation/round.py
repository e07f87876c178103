"""One round: an exchange with each client of the cohort through the engine, the gate, and `aggregate`."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.errors import RoundFailed, WireError
from fedgen_bench.base.guards import guarded
from fedgen_bench.base.killpoints import passing
from fedgen_bench.base.spans import span
from fedgen_bench.contract.engines import ClientOutcome, ClientTask
from fedgen_bench.contract.reports import UNAVAILABLE, RoundClock
from fedgen_bench.federation.broadcast import Broadcast
from fedgen_bench.federation.exchange import Admitted, Exchange
from fedgen_bench.federation.intake import Intake

if TYPE_CHECKING:
    from fedgen_bench.contract.contexts import ClientContext, RoundContext


@dataclass(kw_only=True)
class Round(Intake):
    """One round, and what it gathers while its updates stream into `aggregate`.

    Args:
        clock: who replies when, and whose reply counts; None where everybody's does.
    """

    clock: RoundClock | None = None
    _broadcast: Broadcast = field(init=False)
    _begun: dict[int, Exchange] = field(init=False, default_factory=dict)
    _answered: set[int] = field(init=False, default_factory=set)
    _failure: Exception | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._broadcast = Broadcast(self.experiment.link)

    @property
    def asked(self) -> tuple[int, ...]:
        """Clients of the round, ascending."""
        return self.experiment.cohort(self.index)

    def tasks(self) -> Iterator[ClientTask]:
        """Send to each client of the cohort that can be reached; those whose reply will not count are not trained."""
        timed = {} if self.clock is None else {one.client_id: one for one in self.clock.clients}
        for client_id in self.experiment.cohort(self.index):
            ctx, own = self._context(client_id), timed.get(client_id)
            if own is None or own.n_steps == ctx.local_steps:
                task, exchange = self._sent(ctx)
            elif own.code == UNAVAILABLE:
                continue
            else:
                task, exchange = self._sent(replace(ctx, local_steps=own.n_steps))
                task = replace(task, local_steps=own.n_steps)
            if own is None or not own.code:
                self._begun[client_id] = exchange
                yield task

    def _sent(self, ctx: ClientContext) -> tuple[ClientTask, Exchange]:
        task, exchange = self.begun(self.state, ctx, self._broadcast)
        self.book(exchange.down)
        if task.message is not None:
            passing("client.sent")
        return task, exchange

    def _context(self, client_id: int) -> ClientContext:
        return self.experiment.context(self.index, client_id, {}, self.admitted_in.get(client_id, -1))

    def updates(self) -> Iterator[Admitted]:
        """Admitted updates in client-id order."""
        absent = deque(() if self.clock is None else (one.client_id for one in self.clock.absent))
        for outcome in self._outcomes():
            self._not_trained(absent, outcome.client_id)
            self.batch_digests.append(outcome.batch_digest)
            update = self.admitted(outcome, self.state, self._exchange_of)
            del outcome
            if update is not None:
                yield update
            del update  # its memory is free while the next client is trained
        self._not_trained(absent, math.inf)

    def _not_trained(self, absent: deque[int], before: float) -> None:
        """Note the batches of clients that nobody waits for, in their place: what is paired is who was asked."""
        while absent and absent[0] < before:
            self.batch_digests.append(self.work.batch_digest(self._context(absent.popleft())))

    def _outcomes(self) -> Iterator[ClientOutcome]:
        """The engine's outcomes; what goes wrong is kept for who swallows it."""
        try:
            yield from self.outcomes(self.tasks())
            self._broadcast.check()  # before `aggregate` goes on, which may write into what was sent
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
                state = self._aggregated(updates, ctx)
            if self._failure is not None:  # `aggregate` caught what went wrong in a client
                raise self._failure
            for _ in updates:  # a strategy that reads only some updates does not save the others their work
                pass
        if self.n_accepted < experiment.quorum:
            found = {one.code for one in self.quarantined}
            found |= {one.code for one in (() if self.clock is None else self.clock.absent)}
            codes = ", ".join(sorted(found)) or "no answer"
            raise RoundFailed(
                f"Round {self.index}: {self.n_accepted} valid updates, the suite wants {experiment.quorum} ({codes})."
            )
        return state

    def _aggregated(self, updates: Iterator[Admitted], ctx: RoundContext) -> Any:
        strategy, release = self.experiment.strategy, self.experiment.release
        if release is None:
            return strategy.aggregate(self.state, updates, ctx)
        state, carried = release.aggregated(strategy, self.state, updates, ctx)
        self.ledger.extend(carried)
        return state


def _behind(first: list[Admitted], others: Iterator[Admitted]) -> Iterator[Admitted]:
    yield first.pop()
    yield from others
