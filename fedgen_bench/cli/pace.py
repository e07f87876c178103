"""How long a suite's cells will take from here, by the rounds so far."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fedgen_bench.run.events import Event

_FEWEST_ENDED, _LEAST_DONE = 2, 0.1  # before that, start-up and the first cell say little about the rest


class Pace:
    """Seconds left, from the rounds since the first one, for before is start-up; the final evaluation is as a round."""

    def __init__(self, n_cells: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._n_cells, self._clock = n_cells, clock
        self._running: dict[str, float] = {}
        self._n_ended = 0
        self._first: tuple[float, float] | None = None

    def note(self, event: Event) -> None:
        """Take one event."""
        if event.kind == "skipped":
            self._n_cells -= 1
        elif event.kind == "round":
            self._running[event.run] = (event.round_index + 1) / (event.n_rounds + 1)
        elif event.kind == "ended":
            self._n_ended += 1
            self._running.pop(event.run, None)
        if self._first is None and (self._running or self._n_ended):
            self._first = self._clock(), self._share()

    def _share(self) -> float:
        return (self._n_ended + sum(self._running.values())) / max(self._n_cells, 1)

    def left(self) -> float | None:
        """None as long as it cannot be told, and at the end."""
        share = self._share()
        if self._first is None or self._n_ended < _FEWEST_ENDED or self._n_ended >= self._n_cells:
            return None
        began, before = self._first
        return (self._clock() - began) / (share - before) * (1 - share) if share - before >= _LEAST_DONE else None
