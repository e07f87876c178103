"""For what people read: how many digits of a number are shown."""

from __future__ import annotations

from fedgen_bench.base.digits import places, show, show_bytes, show_percent

__all__ = ["places", "show", "show_bytes", "show_percent"]
