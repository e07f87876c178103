"""How numbers stand where people read them: on the terminal and in Markdown. Files for programs have every digit."""

from __future__ import annotations

import math
from typing import Literal

VALUE, SPREAD, BYTES = 4, 2, 3  # significant digits
MOST = 7  # of a value whose spread is tiny
_SMALL = 1e-4  # below, powers of ten are easier to read


def decimals_of(value: float, spread: float | None = None) -> int:
    """Decimals of a value and of its spread: at least two significant digits of the spread and four of the value.

    A spread without noise (None, zero, not finite) decides nothing; one that is tiny gives the value seven digits.
    """
    least = _places(value, VALUE)
    if spread is None or spread == 0 or not math.isfinite(spread):
        return least
    most = _places(value, MOST) if value else math.inf
    return int(min(max(least, _places(spread, SPREAD)), most))


def show(value: float | None, decimals: int | None = None, *, sign: str = "", nothing: str = "–") -> str:
    """A value with its decimals, by default those of four significant digits; `sign` is `+` for differences."""
    if value is None:
        return nothing
    if value == 0 and decimals is None:
        return "0"
    if decimals is None and abs(value) < _SMALL:
        return f"{value:{sign}.{VALUE - 1}e}"
    return f"{value:{sign}.{_places(value, VALUE) if decimals is None else decimals}f}"


def show_bytes(value: float | None, *, nothing: str = "–") -> str:
    """Decimal units, three significant digits."""
    if value is None:
        return nothing
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= size:
            return f"{value / size:.{_places(value / size, BYTES)}f} {unit}"
    return f"{value:.0f} B"


def show_percent(value: float | None, *, nothing: str = "–") -> str:
    """Two decimals in percent; what rounds to zero has no sign."""
    return nothing if value is None else f"{100 * value:z.2f} %"


def show_every(rounds: int) -> str:
    """`every round`, `every 2 rounds`."""
    return "every round" if rounds == 1 else f"every {rounds} rounds"


Unit = Literal["number", "bytes", "seconds", "FLOPs", "joules", "share"]
_PREFIXES = (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3), ("", 1.0), ("m", 1e-3))


def show_in(value: float | None, unit: Unit, *, nothing: str = "–") -> str:
    """A value in its unit: shares in percent, seconds as they are, FLOPs and joules with a prefix and three digits."""
    if value is None:
        return nothing
    if unit == "bytes":
        return show_bytes(value)
    if unit == "share":
        return show_percent(value)
    if unit == "number":
        return show(value)
    if unit == "seconds":
        return f"{value:.{_places(value, BYTES)}f} s"
    prefix, size = next((one for one in _PREFIXES if abs(value) >= one[1]), _PREFIXES[-1] if value else ("", 1.0))
    return f"{value / size:.{_places(value / size, BYTES)}f} {prefix}{'J' if unit == 'joules' else 'FLOP'}"


def _places(value: float, digits: int) -> int:
    """Decimals that show so many significant digits, after rounding to them."""
    if value == 0 or not math.isfinite(value):
        return 0
    exponent = int(f"{value:.{digits - 1}e}".partition("e")[2])
    return max(0, digits - 1 - exponent)
