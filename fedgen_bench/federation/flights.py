"""Who is at work in simulated time, and in what order answers come: of rounds that are trained, and of foreseen ones.

As many clients are at work as a suite asks in a round; whoever arrives is followed by the next of the paired schedule
of cohorts, who is sent the state of that moment. A round is as many arrivals as a cohort has clients, so that equal
rounds are equal work. All that arrive at one moment have arrived before anybody is sent anything, in the order in which
they were asked, as far as their round has room for them; the rest are the first of the next round.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from fedgen_bench.contract.reports import LEFT, UNAVAILABLE, RoundClock, TimedClient
from fedgen_bench.federation.clock import joules_of
from fedgen_bench.federation.intake import Conditions

if TYPE_CHECKING:
    from fedgen_bench.contract.contexts import ClientContext, RoundContext
    from fedgen_bench.federation.fleet import Fleet

Asked = tuple[int, int]  # the round whose cohort a client was asked in, and the client


@dataclass(frozen=True, kw_only=True)
class Flight:
    """A client that was asked and has not arrived.

    Args:
        asked_in: the round whose cohort it is of: its batches and its learning rate are of that one.
        timed: the client, its times, and why there is no answer where there is none.
        ends: the simulated second in which its answer is there, or is missed.
        sent: the place of the state that it was sent from, in `Ongoing.sent`.
        kept_in: see `ClientContext`.
    """

    asked_in: int
    timed: TimedClient
    ends: float
    sent: int
    kept_in: int

    @property
    def client_id(self) -> int:
        """Who it is."""
        return self.timed.client_id

    @property
    def asked(self) -> Asked:
        """What tells it from every other flight."""
        return self.asked_in, self.client_id


@dataclass(frozen=True, kw_only=True)
class Ongoing:
    """What lies between two rounds: the server's state, and clients at work. It is stored as states are.

    Args:
        now: simulated seconds from the beginning.
        state: the strategy's.
        sent: states that flights were sent from, each once.
        waiting: of the schedule, those who were at work when their turn came.
        n_taken: of the schedule, how many had their turn.
    """

    now: float
    state: Any
    flights: tuple[Flight, ...] = ()
    sent: tuple[Any, ...] = ()
    waiting: tuple[Asked, ...] = ()
    n_taken: int = 0

    @classmethod
    def like(cls, state: Any) -> Ongoing:
        """One of the kind, as `statecodec.decode_state` wants it."""
        flight = Flight(asked_in=0, timed=TimedClient(client_id=0), ends=0.0, sent=0, kept_in=-1)
        return cls(now=0.0, state=state, flights=(flight,), sent=(state,), waiting=((0, 0),))


class AsynchronousConditions(Conditions, Protocol):
    """What asynchronous rounds must know of their experiment besides."""

    @property
    def n_rounds(self) -> int:
        """Rounds of the suite."""

    @property
    def max_fits(self) -> int:
        """Step budgets that a client may use in a round."""

    def arrival_context(self, round_index: int, client_id: int) -> RoundContext:
        """What the strategy is told when it absorbs."""


@dataclass(kw_only=True)
class Flights(ABC):
    """One round's arrivals, whatever each of them brings.

    Args:
        state: what lies before the round.
        fleet: what clients run on.
        landed: clients that arrived or were missed, in their order.
    """

    experiment: AsynchronousConditions
    index: int
    state: Ongoing
    fleet: Fleet
    landed: list[TimedClient] = field(init=False, default_factory=list)
    clock: RoundClock = field(init=False)

    @abstractmethod
    def lengths(self, ongoing: Ongoing, flight: Flight) -> tuple[int, int]:
        """Bytes that a client is sent, and that its answer has."""

    @abstractmethod
    def kept_in(self, client_id: int) -> int:
        """See `ClientContext`."""

    @abstractmethod
    def ahead(self, ongoing: Ongoing, n_first: int) -> None:
        """Called with so many of the next flights still to come in the round, before the first of them lands."""

    @abstractmethod
    def after(self, flight: Flight, ongoing: Ongoing) -> Any:
        """The strategy's state after a flight has landed."""

    @cached_property
    def size(self) -> int:
        """Arrivals of a round, and clients at work at a time."""
        return len(self.experiment.cohort(self.index))

    def passed(self) -> Ongoing:
        """What lies behind the round's last arrival; `clock` is told then."""
        ongoing = self._filled(self.state)
        while len(self.landed) < self.size:
            n_left = self.size - len(self.landed)
            now = min(flight.ends for flight in ongoing.flights)
            arriving = [one for one in self.in_order(ongoing) if one.ends == now][:n_left]
            self.ahead(ongoing, n_left)
            for flight in arriving:
                self.landed.append(flight.timed)
                state = self.after(flight, replace(ongoing, now=now))
                others = tuple(one for one in ongoing.flights if one.asked != flight.asked)
                ongoing = replace(ongoing, now=now, state=state, flights=others)
            ongoing = _tidy(self._filled(ongoing))
        self.clock = RoundClock(
            began=self.state.now,
            seconds=ongoing.now - self.state.now,
            clients=tuple(self.landed),
            joules=joules_of(self.fleet, self.landed),
            one_by_one=True,
        )
        return ongoing

    @staticmethod
    def in_order(ongoing: Ongoing) -> list[Flight]:
        """Flights as they arrive."""
        return sorted(ongoing.flights, key=lambda one: (one.ends, one.asked))

    def _filled(self, ongoing: Ongoing) -> Ongoing:
        """With as many clients at work as may be: the next of the schedule who is not, again and again."""
        while len(ongoing.flights) < self.size:
            busy = {flight.client_id for flight in ongoing.flights}
            ahead, n_taken = list(ongoing.waiting), ongoing.n_taken
            free = next((one for one in ahead if one[1] not in busy), None)
            schedule = self._schedule(n_taken)
            while free is None and (one := next(schedule, None)) is not None:
                n_taken += 1
                ahead.append(one)
                free = one if one[1] not in busy else None
            waiting = tuple(one for one in ahead if one != free)
            ongoing = replace(ongoing, waiting=waiting, n_taken=n_taken)
            if free is None:
                break
            ongoing = self._with_flight(ongoing, free)
        return ongoing

    def _schedule(self, first: int) -> Iterator[Asked]:
        """Who is asked in which round, from a place on."""
        for place in range(first, self.experiment.n_rounds * self.size):
            asked_in, at = divmod(place, self.size)
            yield asked_in, self.experiment.cohort(asked_in)[at]

    def _with_flight(self, ongoing: Ongoing, asked: Asked) -> Ongoing:
        """With a client that is sent the state of now."""
        asked_in, client_id = asked
        sent = ongoing.sent if any(one is ongoing.state for one in ongoing.sent) else (*ongoing.sent, ongoing.state)
        flight = Flight(
            asked_in=asked_in,
            timed=TimedClient(client_id=client_id, code=UNAVAILABLE),
            ends=ongoing.now,
            sent=next(i for i, one in enumerate(sent) if one is ongoing.state),
            kept_in=self.kept_in(client_id),
        )
        there = replace(ongoing, sent=sent)
        if self.fleet.is_available(asked_in, client_id, ongoing.now):
            flight = self._timed(there, flight)
        return replace(there, flights=(*ongoing.flights, flight))

    def _timed(self, ongoing: Ongoing, flight: Flight) -> Flight:
        """With the times of a client that can be reached."""
        down, up = self.lengths(ongoing, flight)
        steps = self.context(flight).local_steps
        took = self.fleet.durations(flight.client_id, down, steps * self.experiment.max_fits, up, ongoing.now)
        left = self.fleet.leaves(flight.asked_in, flight.client_id, ongoing.now, took.total)
        timed = TimedClient(
            client_id=flight.client_id,
            code=LEFT if left else "",
            n_steps=steps,
            download=took.download,
            work=took.work,
            upload=took.upload,
        )
        return replace(flight, timed=timed, ends=ongoing.now + took.total)

    def context(self, flight: Flight) -> ClientContext:
        """What the strategy is told about a client at work."""
        return self.experiment.context(flight.asked_in, flight.client_id, {}, flight.kept_in)


def _tidy(ongoing: Ongoing) -> Ongoing:
    """Without states that nobody at work was sent from."""
    needed = sorted({flight.sent for flight in ongoing.flights})
    place = {old: new for new, old in enumerate(needed)}
    return replace(
        ongoing,
        sent=tuple(ongoing.sent[old] for old in needed),
        flights=tuple(replace(flight, sent=place[flight.sent]) for flight in ongoing.flights),
    )
