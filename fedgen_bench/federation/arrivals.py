"""Asynchronous rounds: clients arrive one by one in simulated time, and the server absorbs each as it comes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.errors import RoundFailed, WireError
from fedgen_bench.base.guards import guarded
from fedgen_bench.base.killpoints import passing
from fedgen_bench.base.spans import span
from fedgen_bench.contract.protocols import Absorbing
from fedgen_bench.contract.reports import UNAVAILABLE
from fedgen_bench.federation.flights import Asked, AsynchronousConditions, Flight, Flights, Ongoing
from fedgen_bench.federation.intake import Intake

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from fedgen_bench.contract.engines import ClientOutcome, ClientTask
    from fedgen_bench.contract.reports import LedgerEntry
    from fedgen_bench.federation.exchange import Exchange


@dataclass(kw_only=True)
class Arrivals(Flights, Intake):
    """One round's arrivals, each trained before it arrives.

    Args:
        trained: outcomes of flights that were trained before they arrived; what is lacking is trained anew.
    """

    experiment: AsynchronousConditions
    state: Ongoing
    trained: MutableMapping[Asked, ClientOutcome]
    _begun: dict[Asked, tuple[ClientTask, Exchange]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        before = self.keep
        self.keep = lambda client_id: self.new_keeps[client_id] if client_id in self.new_keeps else before(client_id)
        self._kept_in = dict(self.admitted_in)

    @property
    def asked(self) -> tuple[int, ...]:
        """Clients whose part ended in this round, in that order."""
        return tuple(one.client_id for one in self.landed)

    def aggregate(self) -> Ongoing:
        """What lies behind the round. Raises RoundFailed below the quorum."""
        ongoing = self.passed()
        if self.n_accepted < self.experiment.quorum:
            found = {one.code for one in self.quarantined} | {one.code for one in self.clock.absent}
            codes = ", ".join(sorted(found))
            raise RoundFailed(
                f"Round {self.index}: {self.n_accepted} valid updates, the suite wants {self.experiment.quorum} "
                f"({codes})."
            )
        contexts = (self.experiment.context(self.index, i, {}) for i in self.experiment.cohort(self.index))
        self.batch_digests = list(map(self.work.batch_digest, contexts))
        return ongoing

    def lengths(self, ongoing: Ongoing, flight: Flight) -> tuple[int, int]:
        """Of the very messages."""
        task, exchange = self._exchange(ongoing, flight)
        return len(task.message or b""), len(exchange.reply_like()) if exchange.reply else 0

    def kept_in(self, client_id: int) -> int:
        """The last round in which an update of the client was admitted, this one included."""
        return self._kept_in.get(client_id, -1)

    def _exchange(self, ongoing: Ongoing, flight: Flight) -> tuple[ClientTask, Exchange]:
        """What a flight was sent, made again where it was sent before this process began."""
        if flight.asked not in self._begun:
            self._begun[flight.asked] = self.begun(ongoing.sent[flight.sent], self.context(flight))
        return self._begun[flight.asked]

    def ahead(self, ongoing: Ongoing, n_first: int) -> None:
        """Train those of the next flights that are not yet, together: what they were sent does not change any more."""
        waiting = [
            one for one in self.in_order(ongoing)[:n_first] if not one.timed.code and one.asked not in self.trained
        ]
        if not waiting:
            return
        tasks = (self._exchange(ongoing, flight)[0] for flight in waiting)
        for flight, outcome in zip(waiting, self.outcomes(tasks), strict=True):
            self.trained[flight.asked] = outcome

    def book(self, entry: LedgerEntry | None) -> None:
        """Under the round in which the client's part ended, whichever it was asked in."""
        super().book(entry and replace(entry, round_index=self.index))

    def after(self, flight: Flight, ongoing: Ongoing) -> Any:
        """Booked, through the gate, absorbed."""
        state = ongoing.state
        if flight.timed.code != UNAVAILABLE:
            self.book(self._exchange(ongoing, flight)[1].down)
            passing("client.sent")
        if not flight.timed.code:
            state = self._absorbed(flight, ongoing)
        self._begun.pop(flight.asked, None)
        return state

    def _absorbed(self, flight: Flight, ongoing: Ongoing) -> Any:
        """The strategy's state with the flight's update in it, where the gate lets it through."""
        experiment, client_id = self.experiment, flight.client_id

        def exchange_of(outcome: ClientOutcome) -> Exchange:
            if outcome.client_id != client_id:
                raise WireError("wrong_client", f"Client {outcome.client_id} answers for client {client_id}.")
            return self._exchange(ongoing, flight)[1]

        sent = ongoing.sent[flight.sent]
        update = self.admitted(self.trained.pop(flight.asked), sent, exchange_of)
        if update is None:
            return ongoing.state
        self._kept_in[client_id] = self.index
        ctx, strategy = experiment.arrival_context(self.index, client_id), experiment.strategy
        assert isinstance(strategy, Absorbing)
        with span("aggregate"), guarded(f"{experiment.strategy_name}.absorb", state=ongoing.state, sent=sent):
            return strategy.absorb(ongoing.state, sent, update, ctx)
