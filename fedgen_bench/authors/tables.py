"""For table formats: what a leaderboard is when it is rendered."""

from __future__ import annotations

from fedgen_bench.results.table import COLUMNS, Curve, Extra, Followed, Row, Table
from fedgen_bench.site.pages import page_of

__all__ = ["COLUMNS", "Curve", "Extra", "Followed", "Row", "Table", "page_of"]
