"""What every table format must hold, on the toy suite's table when all that was run of it has failed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

from fedgen_bench.results.leaderboard import build_table
from fedgen_bench.results.table import Row, Table
from fedgen_bench.testing.locations import at
from fedgen_bench.testing.structure import described

Check = Callable[[Any], None]


@cache
def failed_table() -> Table:
    """A row without a figure, whose name and reason are text that no file may take for its own."""
    from fedgen_bench.registry.plugins import load_registry
    from fedgen_bench.suite.load import load_suite
    from fedgen_bench.testing import toy

    registry = load_registry([toy.__file__], environ={})
    suite = load_suite(registry.get("suite", "toy").spec, registry)
    table = build_table(suite, (), registry)
    name = "mine (federation.rounds=1 | <b>)"
    row = Row(contender=name, strategy="fedavg", adapter="full", status="failed", n_seeds=0, quality_metric="test/x")
    return replace(table, rows=(row.columns,), others={name: {}}, reasons={name: "seed 1: a < b | c"})


def check_rehearsal(spec: Any) -> None:
    """A table whose only row has failed is rendered as text or bytes, or there is no such file of it."""
    with at(spec.build):
        found: object = spec.build(spec.params()).render(failed_table())
        assert found is None or isinstance(found, str | bytes), (
            f"render returned {described(found)}. Return text or bytes, or None where a table gives no such file."
        )


def check_deterministic(spec: Any) -> None:
    """The same table gives the same bytes."""
    with at(spec.build):
        first, second = (spec.build(spec.params()).render(failed_table()) for _ in range(2))
        assert first == second, "render gave two results for one table. Leave out times, addresses and random numbers."


TABLE_CHECKS: tuple[Check, ...] = (check_rehearsal, check_deterministic)
