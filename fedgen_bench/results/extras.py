"""Columns that stand only in tables where a row has a value of them: what each is, and how it comes from records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedgen_bench.results.record import Done, Evaluated
from fedgen_bench.results.table import Extra

if TYPE_CHECKING:
    from fedgen_bench.suite.schema import SuiteSpec


@dataclass(frozen=True, kw_only=True)
class Cells:
    """What a value is read from: a contender's finished runs, one at least.

    Args:
        at_target: where each run's curve is first at the target; None where it never is.
    """

    suite: SuiteSpec
    done: Sequence[Done]
    at_target: Sequence[Evaluated | None]


@dataclass(frozen=True)
class Measured:
    """A column with what gives a contender's value; None where its runs do not tell."""

    extra: Extra
    of: Callable[[Cells], float | None]


MEASURED: tuple[Measured, ...] = ()


def extras_of(cells: Cells) -> dict[str, float]:
    """A contender's values by column."""
    found = {one.extra.key: one.of(cells) for one in MEASURED}
    return {key: value for key, value in found.items() if value is not None}


def extras_in(values: Iterable[Mapping[str, float]]) -> tuple[Extra, ...]:
    """The columns that any of several contenders has a value of, in their order."""
    known = {key for row in values for key in row}
    return tuple(one.extra for one in MEASURED if one.extra.key in known)
