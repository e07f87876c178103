"""The simulated clock of a synchronous round: who replies when, whose reply counts, and when the round ends.

All of it is known before anybody trains, since messages' lengths are, and so are the devices.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fedgen_bench.contract.reports import LATE, LEFT, UNAVAILABLE, RoundClock, TimedClient

if TYPE_CHECKING:
    from fedgen_bench.federation.fleet import Durations, Fleet


@dataclass(frozen=True, kw_only=True)
class Asking:
    """What a client is asked for: bytes there and back, and local steps of one fit."""

    client_id: int
    down_bytes: int
    up_bytes: int
    n_steps: int


@dataclass(frozen=True, kw_only=True)
class Rules:
    """When a round ends, and what its clients may do about it.

    Args:
        first: replies that end it; all of them when None.
        deadline: seconds after which replies are late; none when None.
        partial: clients may take fewer steps: as many as fit before the deadline, or as their class takes.
        fits: step budgets that a client uses in a round, of one that takes all of its steps.
    """

    first: int | None = None
    deadline: float | None = None
    partial: bool = False
    fits: float = 1.0


def timed_round(fleet: Fleet, rules: Rules, round_index: int, began: float, asked: Iterable[Asking]) -> RoundClock:
    """The round's times.

    A client that cannot be reached is sent nothing. One that leaves is noticed, and not waited for. Replies after the
    deadline, and after the first ones where these end the round, are late; of two at the same moment the lower client
    id is first. The round ends with the reply that ends it, at the deadline where some are late for it, or with the
    last reply.
    """
    clients = [_timed(fleet, rules, round_index, began, one) for one in asked]
    staying = [one for one in clients if not one.code]
    in_time = sorted((one for one in staying if _in_time(rules, one)), key=lambda one: (_total(one), one.client_id))
    counting = in_time if rules.first is None else in_time[: rules.first]
    ended_by_first = rules.first is not None and len(counting) == rules.first
    if len(in_time) < len(staying) and not ended_by_first and rules.deadline is not None:
        seconds = rules.deadline
    else:
        seconds = max(map(_total, counting), default=0.0)
    late = {one.client_id for one in staying} - {one.client_id for one in counting}
    return RoundClock(
        began=began,
        seconds=seconds,
        clients=tuple(replace(one, code=LATE) if one.client_id in late else one for one in clients),
        joules=joules_of(fleet, clients),
    )


def joules_of(fleet: Fleet, clients: Iterable[TimedClient]) -> float | None:
    """Energy of clients' parts of a round: a device's watts while it works, its radio's while a message travels.

    Nothing else is in it, neither standby nor the network. Those whose reply does not count have drawn theirs, whole.
    None where a device does not say what it draws.
    """
    if any(one.watts is None for one in fleet.devices):
        return None
    drawn = [(fleet.device(one.client_id), one) for one in clients]
    return math.fsum(
        (device.watts or 0.0) * one.work + device.radio_watts * (one.download + one.upload) for device, one in drawn
    )


def _timed(fleet: Fleet, rules: Rules, round_index: int, began: float, asking: Asking) -> TimedClient:
    """A client's times, with why it does not reply; whether it is late depends on the others."""
    client_id = asking.client_id
    if not fleet.is_available(round_index, client_id, began):
        return TimedClient(client_id=client_id, code=UNAVAILABLE)
    steps, took = _steps(fleet, rules, began, asking)
    left = fleet.leaves(round_index, client_id, began, took.total)
    return TimedClient(
        client_id=client_id,
        code=LEFT if left else "",
        n_steps=steps,
        download=took.download,
        work=took.work,
        upload=took.upload,
    )


def _steps(fleet: Fleet, rules: Rules, began: float, asking: Asking) -> tuple[int, Durations]:
    """How many steps a client takes, and how long that is; all of them where its method takes no partial work."""

    def durations(steps: int) -> Durations:
        return fleet.durations(asking.client_id, asking.down_bytes, steps * rules.fits, asking.up_bytes, began)

    steps = asking.n_steps
    if rules.partial:
        steps = min(steps, fleet.device(asking.client_id).local_steps or steps)
    took = durations(steps)
    if not rules.partial or rules.deadline is None or took.total <= rules.deadline or not took.work:
        return steps, took
    room = rules.deadline - took.download - took.upload
    fitting = max(1, math.floor(steps * room / took.work))
    while fitting > 1 and durations(fitting).total > rules.deadline:  # rounding
        fitting -= 1
    return fitting, durations(fitting)


def _in_time(rules: Rules, one: TimedClient) -> bool:
    return rules.deadline is None or _total(one) <= rules.deadline


def _total(one: TimedClient) -> float:
    return one.download + one.work + one.upload
