"""What a quality costs: rounds and bytes, and what else a run's record may tell."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedgen_bench.base.digits import Unit, show_in
from fedgen_bench.base.stats import mean_of_all

if TYPE_CHECKING:
    from fedgen_bench.results.record import Done


@dataclass(frozen=True, kw_only=True)
class Reached:
    """What a run took until its curve was first at a value; None where its record does not tell.

    Args:
        uplink_bytes: of all clients, counted.
        flops: of all clients' local steps, counted.
        joules: of all clients' devices, estimated.
        seconds: on the suite's devices, simulated.
    """

    n_rounds: int
    uplink_bytes: int
    flops: int | None = None
    joules: float | None = None
    seconds: float | None = None


def reached(record: Done, target: float, *, lower: bool) -> Reached | None:
    """What a run took until its curve was first at the target; None when it never is."""
    for place, one in enumerate(record.curve):
        if one.value <= target if lower else one.value >= target:
            costs, clock = record.costs, record.clock
            return Reached(
                n_rounds=one.n_rounds,
                uplink_bytes=one.uplink_bytes,
                flops=None if costs is None else costs.flops_at(place),
                joules=None if costs is None else costs.joules_at(place),
                seconds=None if clock is None else clock.seconds_at(one.n_rounds),
            )
    return None


@dataclass(frozen=True)
class Cost:
    """A figure that records may tell.

    Args:
        name: what it is.
        how: how it was had.
        of: its value; None where the record does not tell.
    """

    name: str
    how: str
    unit: Unit
    of: Callable[[Reached], float | None]

    def shown(self, ended: Iterable[Reached], share: float = 1.0) -> str:
        """The mean over runs, or this share of it; a dash where a record does not tell."""
        value = mean_of_all(map(self.of, ended))
        return show_in(None if value is None else share * value, self.unit)


FLOPS = Cost("FLOPs", "counted", "FLOPs", lambda at: at.flops)
ENERGY = Cost("energy", "estimated", "joules", lambda at: at.joules)
SECONDS = Cost("simulated time", "simulated", "seconds", lambda at: at.seconds)


def told_costs(records: Iterable[Done]) -> tuple[Cost, ...]:
    """Those that one of the records has, beside rounds and bytes."""
    ends = [at for one in records if one.curve and (at := reached(one, one.curve[0].value, lower=True)) is not None]
    return tuple(cost for cost in (FLOPS, ENERGY, SECONDS) if any(cost.of(at) is not None for at in ends))
