"""For what people read: how many digits of a number are shown."""

from __future__ import annotations

from fedgen_bench.base.digits import decimals_of, show, show_bytes, show_every, show_in, show_percent

__all__ = ["decimals_of", "show", "show_bytes", "show_every", "show_in", "show_percent"]
