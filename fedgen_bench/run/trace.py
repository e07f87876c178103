"""Spans as a trace that Perfetto and other viewers of Chrome's trace event format open: one row a process."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from fedgen_bench.base.spans import Span

_MICROSECONDS = 1e6


def trace(spans: Sequence[Span], coordinator: int) -> str:
    """JSON of all spans; `coordinator` is the process that gives work to the others."""
    processes = dict.fromkeys([coordinator, *(one.process for one in spans)])
    events = [*_names(list(processes)), *(_event(one, spans[0].began) for one in spans)]
    return json.dumps({"traceEvents": events, "displayTimeUnit": "ms"}) + "\n"


def _names(processes: Sequence[int]) -> Iterator[dict[str, Any]]:
    for place, process in enumerate(processes):
        name = f"worker {place}" if place else "coordinator"
        yield {"ph": "M", "pid": process, "name": "process_name", "args": {"name": name}}
        yield {"ph": "M", "pid": process, "name": "process_sort_index", "args": {"sort_index": place}}


def _event(one: Span, start: float) -> dict[str, Any]:
    told = {"of": one.detail, "bytes": one.n_bytes, "peak_bytes": one.peak_bytes}
    return {
        "ph": "X",
        "name": one.name,
        "cat": "phase",
        "pid": one.process,
        "tid": one.thread,
        "ts": (one.began - start) * _MICROSECONDS,
        "dur": one.seconds * _MICROSECONDS,
        "args": {name: value for name, value in told.items() if value},
    }
