"""What torch does inside a fit: operators of a few fits, by the time that each takes itself."""

from __future__ import annotations

import contextlib
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.profiler import profile

_FITS = 2  # that are watched, after a first one, in which libraries make themselves ready
_MICROSECONDS = 1e6


@dataclass(frozen=True)
class Operator:
    """One of torch's operators in the fits that were watched.

    Args:
        calls: how many there were.
        seconds: of the processor in it, without the operators that it calls.
        share: of the seconds of all operators.
        device_seconds: of the GPU.
        n_bytes: of memory that it took and did not give back.
    """

    name: str
    calls: int
    seconds: float
    share: float
    device_seconds: float
    n_bytes: int


@dataclass
class FitWatch:
    """Watches the second and third fit of this process with torch's profiler."""

    _begun: int = field(init=False, default=0)
    _watched: list[profile] = field(init=False, default_factory=list)

    @contextlib.contextmanager
    def around(self) -> Iterator[None]:
        """Around every fit."""
        from torch.profiler import profile

        self._begun += 1
        if not 1 < self._begun <= 1 + _FITS:
            yield
            return
        with profile(profile_memory=True, acc_events=True) as watched:
            yield
        self._watched.append(watched)

    @property
    def operators(self) -> tuple[Operator, ...]:
        """The slowest first; none where there was no second fit."""
        calls, seconds, device, n_bytes = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
        for watched in self._watched:
            for one in watched.key_averages():
                calls[one.key] += one.count
                seconds[one.key] += one.self_cpu_time_total / _MICROSECONDS
                device[one.key] += one.self_device_time_total / _MICROSECONDS
                n_bytes[one.key] += one.self_cpu_memory_usage + one.self_device_memory_usage
        total = sum(seconds.values())
        return tuple(
            Operator(name, calls[name], own, own / total if total else 0.0, device[name], n_bytes[name])
            for name, own in seconds.most_common()
        )

    @property
    def trace(self) -> str:
        """The last watched fit in Chrome's trace event format; empty where there was none."""
        if not self._watched:
            return ""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "trace.json")
            self._watched[-1].export_chrome_trace(str(path))
            return path.read_text(encoding="utf-8")
