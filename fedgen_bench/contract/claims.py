"""What a plugin says of a claim: its place on the page, and who judges it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class ClaimSpec:
    """Something that is said of a suite's reference, judged from published results alone.

    Args:
        name: what `fedgen-bench list` calls it.
        summary: one line for the list.
        number: heads its section on the page and gives its place there, such as `3` or `2b`; no other claim's.
        judge: of the suite's `fedgen_bench.authors.claims.Evidence` it makes a `Finding`.
        concerns: whether a suite's evidence can say anything of it; the page of one that cannot has no section of it.
            None for a claim that is made of every suite.
    """

    name: str
    summary: str
    number: str
    judge: Callable[[Any], Any]
    concerns: Callable[[Any], bool] | None = None
