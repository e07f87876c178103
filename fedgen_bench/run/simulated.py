"""How long a cell would take on its suite's devices, and who would be late: rounds planned with the first state."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fedgen_bench.contract.protocols import Absorbing
from fedgen_bench.contract.reports import LATE
from fedgen_bench.federation.timetable import timetable_of

if TYPE_CHECKING:
    from fedgen_bench.contract.reports import TimedClient
    from fedgen_bench.federation.experiment import Experiment


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """Of all rounds; exact as long as payloads keep their layout and nobody's state changes what is sent.

    Args:
        parts: by round and client, what becomes of everybody who is asked.
        seconds: until the last round has ended; None of an asynchronous method, whose rounds hang on each other.
        joules: that clients' devices draw; None where the suite does not say.
        missed: by code, how often a client that is asked does not count.
        late_on: classes of devices on which clients are late, in their order.
        n_partial: how often a client takes fewer steps than the suite's.
    """

    parts: Mapping[tuple[int, int], TimedClient]
    seconds: float | None
    joules: float | None
    missed: Mapping[str, int]
    late_on: tuple[str, ...]
    n_partial: int


def simulated(experiment: Experiment, state: Any) -> Simulated | None:
    """The forecast; None where no clock runs."""
    timetable = timetable_of(experiment)
    if timetable is None:
        return None
    clocks, now = [], 0.0
    for round_index in range(experiment.n_rounds):
        clocks.append(timetable.round(round_index, state, lambda _: {}, {}, now))
        now = clocks[-1].ended
    drawn = [one.joules for one in clocks if one.joules is not None]
    joules = math.fsum(drawn) if len(drawn) == len(clocks) else None
    parts = {(i, one.client_id): one for i, clock in enumerate(clocks) for one in clock.clients}
    waits = not isinstance(experiment.strategy, Absorbing)
    if not waits:
        parts = {key: replace(one, code="") if one.code == LATE else one for key, one in parts.items()}
    late = {timetable.fleet.device(one.client_id).name for one in parts.values() if one.code == LATE}
    return Simulated(
        parts=parts,
        seconds=now if waits else None,
        joules=joules,
        missed=Counter(one.code for one in parts.values() if one.code),
        late_on=tuple(device.name for device in timetable.fleet.devices if device.name in late),
        n_partial=sum(not one.code and one.n_steps < experiment.local_steps(*key) for key, one in parts.items()),
    )
