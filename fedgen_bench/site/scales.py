"""Axes: from values to places, and the round numbers that are labelled."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

_STEPS = (1.0, 2.0, 5.0, 10.0)
_ROOM = 0.06  # of the axis, left free at either end


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Values between `low` and `high` on a line from `start` to `end`, which may run backwards."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """The place of a value."""
        low, high, here = (math.log10(one) if self.log else one for one in (self.low, self.high, value))
        return self.start + (self.end - self.start) * (here - low) / (high - low)

    def ticks(self, most: int, *, whole: bool = False) -> list[float]:
        """At most so many round numbers within the scale; `whole` ones only where so asked."""
        return _log_ticks(self.low, self.high, most) if self.log else _ticks(self.low, self.high, most, whole=whole)


def scale(values: Iterable[float], start: float, end: float, *, log: bool = False, tight: bool = False) -> Scale:
    """A scale that holds all values, with some room at either end unless it is `tight`; above zero for `log`."""
    shown = [one for one in values if math.isfinite(one) and (one > 0 or not log)] or [1.0]
    low, high = (math.log10(one) if log else one for one in (min(shown), max(shown)))
    room = (high - low) * _ROOM or abs(high) * _ROOM or 1.0
    low, high = (low, high) if tight and high > low else (low - room, high + room)
    if log:
        low, high = 10**low, 10**high
    return Scale(low=low, high=high, start=start, end=end, log=log)


def _ticks(low: float, high: float, most: int, *, whole: bool) -> list[float]:
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(one * power for one in _STEPS if one * power >= rough * (1 - 1e-9))
    step = max(step, 1.0) if whole else step
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{i * step:.12g}") for i in range(first, last + 1)]


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    """Powers of ten, with their double and fivefold where there is room."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for leads in ((1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 5), (1,)):
        found = [float(f"{lead}e{power}") for power in powers for lead in leads]
        found = [one for one in found if low <= one <= high]
        if len(found) <= most:
            break
    found = found if len(found) > 1 else _ticks(low, high, most, whole=False)
    return found[:: math.ceil(len(found) / most)]
