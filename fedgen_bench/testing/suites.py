"""What every suite must hold, without data: its file is right, and its cells and tuning trials can be told apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from fedgen_bench.suite.cells import expand
from fedgen_bench.suite.load import load_suite

if TYPE_CHECKING:
    from fedgen_bench.contract.specs import SuiteSource
    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.suite.cells import CellSpec

Check = Callable[["SuiteSource", "Registry"], None]


def check_rehearsal(source: SuiteSource, registry: Registry) -> None:
    """Its file can be read, and all that it names is registered and fits together."""
    load_suite(source, registry)


def check_cells(source: SuiteSource, registry: Registry) -> None:
    """It has cells, each under a name and an identity of its own."""
    _assert_told_apart(expand(load_suite(source, registry), registry), "cells")


def check_trials(source: SuiteSource, registry: Registry) -> None:
    """Every point of its tuning grids is a change that the suite takes, each another one."""
    suite = load_suite(source, registry)
    tuning = suite.tuning
    for name, grid in (*tuning.grid.items(), *tuning.personalization.items()) if tuning is not None else ():
        tuned = [
            load_suite(source, registry, [f"contender.{name}.{path}={value}" for path, value in point.items()])
            for point in grid
        ]
        seeds = [suite.seeds.tuning]
        cells = [expand(each, registry, contenders=[name], seeds=seeds, purpose="tune")[0] for each in tuned]
        _assert_told_apart(cells, f"trials of `{name}`", named=False)


def _assert_told_apart(specs: Iterable[CellSpec], what: str, *, named: bool = True) -> None:
    cells = list(specs)
    assert cells, f"there are no {what}"
    for key, word in ((lambda cell: cell.name, "name"), (lambda cell: cell.digest, "identity"))[0 if named else 1 :]:
        twice = [one for one, n in Counter(map(key, cells)).items() if n > 1]
        assert not twice, f"several {what} have one {word}: {twice[0]}"


SUITE_CHECKS: tuple[Check, ...] = (check_rehearsal, check_cells, check_trials)
