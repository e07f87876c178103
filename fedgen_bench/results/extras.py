"""Columns that stand only in tables where a row has a value of them, in their order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fedgen_bench.results.columns import Cells, Measured
from fedgen_bench.results.cost_columns import COSTS
from fedgen_bench.results.device_columns import DEVICES
from fedgen_bench.results.leak_columns import LEAKS
from fedgen_bench.results.privacy_columns import PRIVACY
from fedgen_bench.results.table import Extra

MEASURED: tuple[Measured, ...] = (*DEVICES, *COSTS, *LEAKS, *PRIVACY)


def extras_of(cells: Cells) -> dict[str, float]:
    """A contender's values by column."""
    found = {one.extra.key: one.of(cells) for one in MEASURED}
    return {key: value for key, value in found.items() if value is not None}


def extras_in(values: Iterable[Mapping[str, float]]) -> tuple[Extra, ...]:
    """The columns that any of several contenders has a value of, in their order."""
    known = {key for row in values for key in row}
    return tuple(one.extra for one in MEASURED if one.extra.key in known)
