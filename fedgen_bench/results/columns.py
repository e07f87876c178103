"""What a column beside the usual ones is read from, and what gives its value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
