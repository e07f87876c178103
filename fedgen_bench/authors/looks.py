"""For formats that draw: how a contender looks, the same in every drawing."""

from __future__ import annotations

from fedgen_bench.base.looks import DARK_HUES, HUES, N_MARKERS, Look, looks, method_of, spread

__all__ = ["DARK_HUES", "HUES", "N_MARKERS", "Look", "looks", "method_of", "spread"]
