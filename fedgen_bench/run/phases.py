"""Spans summed up by phase: where the time, the bytes and the memory of a run went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fedgen_bench.base.spans import Span

_WHOLE = frozenset({"rehearse", "personalisation", "count", "costs"})  # they do what rounds do, which is theirs here


@dataclass(frozen=True)
class Phase:
    """All spans of one name, over all processes.

    Args:
        name: as in the trace.
        calls: how many there were.
        seconds: in them, without the phases within them; rehearsal, personalisation and costs are told as a whole.
        share: of the seconds of all phases.
        n_bytes: that they wrote, read or sent.
        peak_bytes: the most memory that a process had held when one of them ended.
    """

    name: str
    calls: int
    seconds: float
    share: float
    n_bytes: int
    peak_bytes: int


def phases(spans: Sequence[Span]) -> tuple[Phase, ...]:
    """One a name, in the order in which they first began."""
    total = sum(one.own_seconds for one in spans)
    of: dict[str, list[Span]] = {}
    for one in spans:
        of.setdefault(_phase(one), []).append(one)
    return tuple(
        Phase(
            name=name,
            calls=sum(one.name == name for one in some),
            seconds=sum(one.own_seconds for one in some),
            share=sum(one.own_seconds for one in some) / total,
            n_bytes=sum(one.n_bytes for one in some if one.name == name),
            peak_bytes=max(one.peak_bytes for one in some),
        )
        for name, some in of.items()
    )


def _phase(one: Span) -> str:
    return next((name for name in one.within if name in _WHOLE), one.name)
