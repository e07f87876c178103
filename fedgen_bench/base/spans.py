"""Spans: named stretches of a process' time, one within another. Off, one costs next to nothing.

While they are kept, every process appends its own to a file in one folder whenever its outermost span ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from fedgen_bench.base.system import peak_bytes

Around = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True, kw_only=True)
class Span:
    """A stretch of time that has ended.

    Args:
        name: of the phase.
        detail: which one of them: a round's number, a client's.
        within: names of the spans that it is in, the outermost first.
        began: seconds of a clock that all processes of this machine share.
        seconds: how long it took, with what is within it.
        own_seconds: without the spans within it.
        n_bytes: of what it wrote, read or sent, as far as it says.
        peak_bytes: the most memory that the process has held so far.
        process: its id.
        thread: its id within the process.
    """

    name: str
    detail: str
    within: tuple[str, ...]
    began: float
    seconds: float
    own_seconds: float
    n_bytes: int
    peak_bytes: int
    process: int
    thread: int


class _Off:
    """What a span is while none are kept."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing was begun."""

    def carried(self, n_bytes: int) -> None:
        """Nobody wants to know."""


@dataclass
class _Open:
    """A span that has not ended."""

    keeper: _Keeper
    name: str
    detail: str
    n_bytes: int = 0
    inner_seconds: float = 0.0
    began: float = field(init=False, default=0.0)
    around: contextlib.ExitStack = field(init=False, default_factory=contextlib.ExitStack)

    def __enter__(self) -> Self:
        self.keeper.open.append(self)
        if self.name in self.keeper.around:
            self.around.enter_context(self.keeper.around[self.name]())
        self.began = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        seconds = time.perf_counter() - self.began
        self.around.__exit__(kind, error, trace)
        self.keeper.end(self, seconds)

    def carried(self, n_bytes: int) -> None:
        """It wrote, read or sent so many bytes more."""
        self.n_bytes += n_bytes


class _Keeper(threading.local):
    """What one process keeps; spans of each thread are nested among themselves."""

    def __init__(self, folder: Path, around: Mapping[str, Around]) -> None:
        self.folder, self.around = folder, around
        self.open: list[_Open] = []
        self.ended: list[Span] = []

    def end(self, one: _Open, seconds: float) -> None:
        self.open.remove(one)
        if self.open:
            self.open[-1].inner_seconds += seconds
        span = Span(
            name=one.name,
            detail=one.detail,
            within=tuple(outer.name for outer in self.open),
            began=one.began,
            seconds=seconds,
            own_seconds=seconds - one.inner_seconds,
            n_bytes=one.n_bytes,
            peak_bytes=peak_bytes(),
            process=os.getpid(),
            thread=threading.get_native_id(),
        )
        self.ended.append(span)
        if not self.open:
            self.write()

    def write(self) -> None:
        """Append what has ended to this thread's file."""
        path = self.folder / f"{os.getpid()}-{threading.get_native_id()}.jsonl"
        with path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(asdict(span)) + "\n" for span in self.ended)
        self.ended.clear()


_OFF = _Off()
_keeper: _Keeper | None = None


def span(name: str, detail: object = "") -> _Off | _Open:
    """A context: what happens in it is the phase `name`; its `carried(n_bytes)` tells what it wrote, read or sent."""
    return _OFF if _keeper is None else _Open(_keeper, name, str(detail))


def folder() -> Path | None:
    """Where spans are kept at present: what a process that is begun is given for `keep`."""
    return None if _keeper is None else _keeper.folder


def keep(where: Path | None, around: Mapping[str, Around] | None = None) -> None:
    """Keep this process' spans from now on, or no longer.

    Args:
        where: a folder; None ends it.
        around: by a span's name, a context that each of them is in.
    """
    global _keeper  # noqa: PLW0603 - whether spans are kept is a state of the process
    _keeper = None if where is None else _Keeper(where, around or {})


@contextlib.contextmanager
def kept(where: Path, around: Mapping[str, Around] | None = None) -> Iterator[None]:
    """Spans are kept in a folder within the block, those of worker processes that are begun in it as well."""
    keep(where, around)
    try:
        yield
    finally:
        keep(None)


def read(where: Path) -> list[Span]:
    """All spans of a folder as they began, an outer one before those within it."""
    ended = [line for path in sorted(where.glob("*.jsonl")) for line in path.read_text(encoding="utf-8").splitlines()]
    spans = (Span(**table | {"within": tuple(table["within"])}) for table in map(json.loads, reversed(ended)))
    return sorted(spans, key=lambda one: (one.began, -one.seconds))
