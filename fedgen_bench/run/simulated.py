"""How long a cell would take on its suite's devices, and who would be late: rounds planned with the first state."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fedgen_bench.contract.protocols import Absorbing
from fedgen_bench.contract.reports import LATE
from fedgen_bench.federation.flights import Asked, Flight, Flights, Ongoing
from fedgen_bench.federation.timetable import timetable_of

if TYPE_CHECKING:
    from fedgen_bench.contract.reports import RoundClock, TimedClient
    from fedgen_bench.federation.experiment import Experiment
    from fedgen_bench.federation.timetable import Timetable


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """Of all rounds; exact as long as payloads keep their layout and nobody's state changes what is sent.

    Args:
        parts: by round and client, what becomes of everybody who is asked.
        seconds: until the last round has ended.
        joules: that clients' devices draw; None where the suite does not say.
        missed: by code, how often a client that is asked does not count.
        late_on: classes of devices on which clients are late, in their order.
        n_partial: how often a client takes fewer steps than the suite's.
    """

    parts: Mapping[tuple[int, int], TimedClient]
    seconds: float
    joules: float | None
    missed: Mapping[str, int]
    late_on: tuple[str, ...]
    n_partial: int


Foreseen = tuple[list["RoundClock"], dict[Asked, "TimedClient"]]


@dataclass(kw_only=True)
class _Untrained(Flights):
    """Arrivals of clients that nobody trains: the state stays the first one."""

    timetable: Timetable
    parts: dict[Asked, TimedClient] = field(default_factory=dict)

    def lengths(self, ongoing: Ongoing, flight: Flight) -> tuple[int, int]:
        return self.timetable.lengths(self.context(flight), ongoing.state, {})

    def kept_in(self, client_id: int) -> int:  # noqa: ARG002 - nobody has anything
        return -1

    def ahead(self, ongoing: Ongoing, n_first: int) -> None:
        pass

    def after(self, flight: Flight, ongoing: Ongoing) -> Any:
        self.parts[flight.asked] = flight.timed
        return ongoing.state


def _rounds(experiment: Experiment, timetable: Timetable, state: Any) -> Foreseen:
    clocks, now = [], 0.0
    for round_index in range(experiment.n_rounds):
        clocks.append(timetable.round(round_index, state, lambda _: {}, {}, now))
        now = clocks[-1].ended
    return clocks, {(i, one.client_id): one for i, clock in enumerate(clocks) for one in clock.clients}


def _arrivals(experiment: Experiment, timetable: Timetable, state: Any) -> Foreseen:
    ongoing, clocks = Ongoing(now=0.0, state=state), []
    parts: dict[Asked, TimedClient] = {}
    for index in range(experiment.n_rounds):
        this = _Untrained(experiment=experiment, index=index, state=ongoing, fleet=timetable.fleet, timetable=timetable)
        ongoing = this.passed()
        clocks.append(this.clock)
        parts |= this.parts
    return clocks, parts


def simulated(experiment: Experiment, state: Any) -> Simulated | None:
    """The forecast; None where no clock runs."""
    timetable = timetable_of(experiment)
    if timetable is None:
        return None
    foreseen = _arrivals if isinstance(experiment.strategy, Absorbing) else _rounds
    clocks, parts = foreseen(experiment, timetable, state)
    drawn = [one.joules for one in clocks if one.joules is not None]
    joules = math.fsum(drawn) if len(drawn) == len(clocks) else None
    late = {timetable.fleet.device(one.client_id).name for one in parts.values() if one.code == LATE}
    return Simulated(
        parts=parts,
        seconds=clocks[-1].ended,
        joules=joules,
        missed=Counter(one.code for one in parts.values() if one.code),
        late_on=tuple(device.name for device in timetable.fleet.devices if device.name in late),
        n_partial=sum(not one.code and one.n_steps < experiment.local_steps(*key) for key, one in parts.items()),
    )
