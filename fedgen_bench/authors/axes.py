"""For formats that draw with matplotlib: axes as every drawing has them."""

from __future__ import annotations

from fedgen_bench.base.axes import (
    MARKERS,
    RANGES,
    End,
    bytes_along,
    framed,
    name_ends,
    plain,
    saved,
    spread_out,
    titled,
    trimmed,
)

__all__ = [
    "MARKERS",
    "RANGES",
    "End",
    "bytes_along",
    "framed",
    "name_ends",
    "plain",
    "saved",
    "spread_out",
    "titled",
    "trimmed",
]
