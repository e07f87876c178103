"""Simulated time of a cell on edge devices: transfers on a stated link and steps on a stated device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fedgen_bench.results.record import Done


@dataclass(frozen=True)
class EdgeDevice:
    """One kind of device for every client; clients of a round work at the same time.

    Args:
        up_bits_per_second: of its link.
        down_bits_per_second: likewise.
        step_seconds: of one local training step, the same for every method.
    """

    up_bits_per_second: float = 5e6
    down_bits_per_second: float = 20e6
    step_seconds: float = 0.5

    def round_seconds(self, record: Done) -> float:
        """One round of a run: download, local steps, upload; messages of mean length. Local epochs count no step."""
        rounds, sent = record.client_rounds, record.bytes
        up, down = (8.0 * one.encoded / rounds for one in (sent.up, sent.down))
        steps = record.config.training.local_steps or 0
        transfers = float(up / self.up_bits_per_second + down / self.down_bits_per_second)
        return transfers + steps * self.step_seconds

    def seconds_at(self, record: Done, n_rounds: int) -> float:
        """Until so many rounds of a run have ended: by its suite's own devices where it has some."""
        return n_rounds * self.round_seconds(record) if record.clock is None else record.clock.seconds_at(n_rounds)

    def __str__(self) -> str:
        return (
            f"{self.up_bits_per_second / 1e6:g} Mbit/s up, {self.down_bits_per_second / 1e6:g} Mbit/s down, "
            f"{self.step_seconds:g} s a local step, clients of a round side by side"
        )
