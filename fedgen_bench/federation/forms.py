"""What form a cell's rounds have: whole cohorts, or arrivals one by one where its clients run on devices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from fedgen_bench.contract.data import Tensors
from fedgen_bench.contract.protocols import Absorbing
from fedgen_bench.federation.arrivals import Arrivals
from fedgen_bench.federation.flights import Asked, Ongoing
from fedgen_bench.federation.leaks import Watch
from fedgen_bench.federation.round import Round
from fedgen_bench.federation.timetable import timetable_of

if TYPE_CHECKING:
    from fedgen_bench.contract.engines import ClientOutcome, Engine
    from fedgen_bench.federation.client_work import ClientWork
    from fedgen_bench.federation.experiment import Experiment
    from fedgen_bench.federation.fleet import Fleet
    from fedgen_bench.federation.timetable import Timetable


@dataclass(frozen=True)
class Before:
    """What a round begins with.

    Args:
        between: what lies between it and the one before, as its form has it.
        keep: see `Intake`, as `admitted_in`.
        admitted_in: by client, the last round in which an update of it was admitted.
        now: seconds by the simulated clock.
    """

    between: Any
    keep: Callable[[int], Tensors]
    admitted_in: Mapping[int, int]
    now: float


class Form(Protocol):
    """Rounds of one form. What lies between two rounds is stored as it is."""

    def first(self, state: Any) -> Any:
        """What lies before the first round; `state` is the strategy's."""

    def like(self, state: Any) -> Any:
        """What is stored between two rounds, as `statecodec.decode_state` wants it."""

    def round(self, index: int, before: Before) -> Round | Arrivals:
        """A round, whose `aggregate` gives what lies behind it."""

    def state(self, between: Any) -> Any:
        """The strategy's state in what lies between two rounds."""


@dataclass(frozen=True)
class Cohorts:
    """All clients of a round are sent one state, and their updates are aggregated together."""

    experiment: Experiment
    work: ClientWork
    engine: Engine
    watch: Watch
    timetable: Timetable | None

    def first(self, state: Any) -> Any:
        """The state itself."""
        return state

    like = state = first

    def round(self, index: int, before: Before) -> Round:
        """A round of the cohort."""
        state, keep, admitted_in, now = before.between, before.keep, before.admitted_in, before.now
        planned = None if self.timetable is None else self.timetable.round(index, state, keep, admitted_in, now)
        return Round(
            experiment=self.experiment,
            index=index,
            state=state,
            work=self.work,
            engine=self.engine,
            keep=keep,
            admitted_in=admitted_in,
            watch=self.watch.seen,
            clock=planned,
        )


@dataclass(frozen=True)
class OneByOne:
    """Clients arrive in simulated time, see `flights`."""

    experiment: Experiment
    work: ClientWork
    engine: Engine
    watch: Watch
    fleet: Fleet
    _trained: dict[Asked, ClientOutcome] = field(default_factory=dict)

    def first(self, state: Any) -> Ongoing:
        """Nobody is at work."""
        return Ongoing(now=0.0, state=state)

    def like(self, state: Any) -> Ongoing:
        """With one client at work."""
        return Ongoing.like(state)

    def round(self, index: int, before: Before) -> Arrivals:
        """As many arrivals as a cohort has clients."""
        return Arrivals(
            experiment=self.experiment,
            index=index,
            state=before.between,
            work=self.work,
            engine=self.engine,
            keep=before.keep,
            admitted_in=before.admitted_in,
            watch=self.watch.seen,
            fleet=self.fleet,
            trained=self._trained,
        )

    def state(self, between: Ongoing) -> Any:
        """The server's."""
        return between.state


def form_of(experiment: Experiment, work: ClientWork, engine: Engine) -> Form:
    """Arrivals where the strategy absorbs and the suite has devices, cohorts elsewhere."""
    timetable, watch = timetable_of(experiment), Watch.of(experiment)
    if timetable is not None and isinstance(experiment.strategy, Absorbing):
        return OneByOne(experiment, work, engine, watch, timetable.fleet)
    return Cohorts(experiment, work, engine, watch, timetable)
