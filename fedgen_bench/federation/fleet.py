"""A population's devices: which client has which, how long its part of a round takes on it, and whether it takes part.

Drawn from the stream `devices`, so every contender meets the same devices, and the same ones are out of reach or gone.
Times are simulated seconds: nothing here looks at a clock.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from fedgen_bench.contract.seeds import SeedTree
    from fedgen_bench.suite.devices import ResolvedDevices


@dataclass(frozen=True, kw_only=True)
class Durations:
    """Seconds of a client's part of a round, one after the other."""

    download: float
    work: float
    upload: float

    @property
    def total(self) -> float:
        """From the moment that it is asked until its reply is there."""
        return self.download + self.work + self.upload


@dataclass(frozen=True, kw_only=True)
class State:
    """What a device can do from a point of simulated time on.

    Args:
        since: seconds from the beginning of the run.
        down: bytes a second to the device.
        up: bytes a second from it.
        flops: floating-point operations a second in training; None where `step_seconds` says how long a step takes.
        step_seconds: of one local step, whatever is trained.
        available: whether it can be reached.
    """

    since: float = 0.0
    down: float
    up: float
    flops: float | None = None
    step_seconds: float = 0.0
    available: bool = True


@dataclass(frozen=True, kw_only=True)
class Device:
    """What a client runs on; figures as in `suite.devices.DeviceClass`.

    Args:
        states: what it can do, by time, ascending from 0.
    """

    name: str
    states: tuple[State, ...]
    latency: float = 0.0
    memory: int | None = None
    availability: float = 1.0
    leaving: float = 0.0
    watts: float | None = None
    radio_watts: float = 0.0
    local_steps: int | None = None
    rank: int | None = None

    def at(self, time: float) -> State:
        """What it can do then; after the last state that is known, as in that."""
        return self.states[max(0, bisect_right(self.states, time, key=lambda one: one.since) - 1)]

    @property
    def slowness(self) -> tuple[float, float]:
        """Larger for slower devices: by what a step takes in the beginning, then by what an upload takes."""
        first = self.states[0]
        return first.step_seconds if first.flops is None else 1 / first.flops, 1 / first.up


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """The devices of one seed's population.

    Args:
        devices: those that there are.
        of_client: by client, its device's place among them; of shape (clients,).
        seeds: of the stream `devices`.
        step_flops: floating-point operations of one local step of the cell's contender, forward and backward.
    """

    devices: Sequence[Device]
    of_client: np.ndarray
    seeds: SeedTree
    step_flops: float = field(default=0.0)

    def device(self, client_id: int) -> Device:
        """What a client runs on."""
        return self.devices[int(self.of_client[client_id])]

    def durations(self, client_id: int, down_bytes: int, n_steps: float, up_bytes: int, at: float = 0.0) -> Durations:
        """Seconds of a client that is asked at `at`; its speeds of that moment hold until it has replied.

        A message takes its latency and its encoded bytes over the bandwidth; nothing takes no time. Work takes
        `n_steps` times the seconds of a step: `step_flops` over the device's speed, or what a trace has measured.
        """
        device = self.device(client_id)
        state = device.at(at)
        step = state.step_seconds if state.flops is None else self.step_flops / state.flops
        return Durations(
            download=device.latency + down_bytes / state.down if down_bytes else 0.0,
            work=n_steps * step,
            upload=device.latency + up_bytes / state.up if up_bytes else 0.0,
        )

    def is_available(self, round_index: int, client_id: int, at: float = 0.0) -> bool:
        """Whether a client that is asked in a round, at `at`, can take part."""
        device = self.device(client_id)
        drawn, _ = self._drawn(round_index, client_id)
        return drawn < device.availability and device.at(at).available

    def leaves(self, round_index: int, client_id: int, at: float, seconds: float) -> bool:
        """Whether a client that takes part from `at` on is gone before it has replied, `seconds` later."""
        device = self.device(client_id)
        _, drawn = self._drawn(round_index, client_id)
        gone = any(at < one.since < at + seconds and not one.available for one in device.states)
        return drawn < device.leaving or gone

    def slow_tenth(self, clients: Sequence[int]) -> list[int]:
        """Of some clients those on the slowest tenth of devices: one at least, and all whose device is no faster."""
        if not clients:
            return []
        slowness = sorted((self.device(one).slowness for one in clients), reverse=True)
        least = slowness[max(1, len(clients) // 10) - 1]
        return [one for one in clients if self.device(one).slowness >= least]

    def _drawn(self, round_index: int, client_id: int) -> tuple[float, float]:
        """Two uniform numbers of a client in a round: for its availability, for its leaving."""
        rng = self.seeds.numpy("devices", round_index=round_index, client_id=client_id)
        available, leaving = rng.random(2).tolist()
        return available, leaving


def fleet_of_classes(devices: ResolvedDevices, n_clients: int, seeds: SeedTree) -> Fleet:
    """Every class has its share of the clients, to the nearest client, and chance says who they are."""
    classes = devices.classes
    made = [
        Device(
            states=(State(down=one.down, up=one.up, flops=one.flops),),
            local_steps=devices.local_steps.get(one.name),
            rank=devices.ranks.get(one.name),
            **one.model_dump(exclude={"share", "flops", "down", "up"}),
        )
        for one in classes
    ]
    counts = _shared_out(np.array([one.share for one in classes]), n_clients)
    drawn = seeds.numpy("devices").permutation(np.repeat(np.arange(len(classes)), counts))
    return Fleet(devices=made, of_client=drawn, seeds=seeds)


def fleet_of_trace(devices: Sequence[Device], n_clients: int, seeds: SeedTree) -> Fleet:
    """Every client has one of a trace's devices, and no two the same; chance says which."""
    drawn = seeds.numpy("devices").permutation(len(devices))[:n_clients]
    return Fleet(devices=devices, of_client=drawn, seeds=seeds)


def _shared_out(shares: np.ndarray, n: int) -> np.ndarray:
    """Whole numbers in proportion to shares, n in all: those that were rounded down most get what is left."""
    exact = shares / shares.sum() * n
    counts = np.floor(exact).astype(int)
    left = np.argsort(-(exact - counts), kind="stable")[: n - counts.sum()]
    counts[left] += 1
    return np.asarray(counts)
