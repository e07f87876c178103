"""How numbers stand in tables for people."""

from __future__ import annotations


def show_bytes(value: float | None) -> str:
    """Decimal units, three significant digits; a dash for nothing."""
    if value is None:
        return "–"
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f} B"


def show_quality(value: float | None) -> str:
    """Four significant digits; a dash for nothing."""
    return "–" if value is None else f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"  # noqa: PLR2004 - where decimals stop helping


def show_percent(value: float | None) -> str:
    """Two decimals in percent; a dash for nothing."""
    return "–" if value is None else f"{100 * value:.2f} %"
