"""What a check found. Texts may quote a stranger's folder, so they are made safe to print and kept short."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedgen_bench.base.safe_text import printable
from fedgen_bench.results.files import RESULTS

if TYPE_CHECKING:
    from fedgen_bench.results.record import Record

GROUPS = (
    "folder",
    "manifest",
    "schema",
    "suite",
    "completeness",
    "pairing",
    "ledger",
    "values",
    "environments",
    "files",
)
_MOST_CHARACTERS = 400
_MOST_SHOWN = 20


@dataclass(frozen=True)
class Notice:
    """One sentence or two; `problem` is false for a remark."""

    group: str
    text: str
    problem: bool = True


@dataclass(frozen=True)
class Report:
    """All that was found in a folder, by group."""

    n_records: int
    notices: tuple[Notice, ...]

    @property
    def problems(self) -> tuple[Notice, ...]:
        """What makes the folder unfit to publish."""
        return tuple(one for one in self.notices if one.problem)

    @property
    def remarks(self) -> tuple[Notice, ...]:
        """What a reader should know."""
        return tuple(one for one in self.notices if not one.problem)


def problem(group: str, text: str) -> Notice:
    """Something that must be mended."""
    return Notice(group, short(text))


def remark(group: str, text: str) -> Notice:
    """Something to know."""
    return Notice(group, short(text), problem=False)


def short(text: str) -> str:
    """Without control characters (they could rewrite a terminal's lines), at most 400 characters."""
    safe = printable(text[: _MOST_CHARACTERS + 1])
    return safe if len(text) <= _MOST_CHARACTERS else f"{safe[:_MOST_CHARACTERS]} ..."


def label(record: Record) -> str:
    """How a notice names a record: `results.json, contender/seed`, with the overrides of a run off the suite."""
    extra = f" ({', '.join(record.off_suite)})" if record.off_suite else ""
    return f"{RESULTS}, {record.name}{extra}"


def capped(notices: Iterable[Notice], most: int = _MOST_SHOWN) -> Iterator[Notice]:
    """The first so many problems and remarks of every group, then how many more there are."""
    counts: dict[tuple[str, bool], int] = {}
    for one in notices:
        key = (one.group, one.problem)
        counts[key] = counts.get(key, 0) + 1
        if counts[key] <= most:
            yield one
    for (group, is_problem), n in counts.items():
        if n > most:
            yield Notice(group, f"{n - most} more of this kind are not shown. Mend these first.", is_problem)
