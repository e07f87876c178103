"""Columns of costs: read from records that have them, and from no others."""

from __future__ import annotations

import pytest
from made_records import all_made
from test_leaderboard import both, render

from fedgen_bench.results.leaderboard import build_table
from fedgen_bench.results.table import COLUMNS

COSTS = {
    "step_flops": 1000, "training_bytes": 5000, "model_bytes": 24, "private_bytes": 12, "joining_bytes": 36,
    "n_steps": 8, "steps_so_far": [4, 8],
}  # fmt: skip


def counted(name, quality, **more):
    costs = COSTS | more.pop("costs", {})
    return [one | {"costs": costs} for one in both(name, quality, **more)]


@pytest.fixture
def table_of(registry, toy_suite):
    """Of the toy suite, whose target is 0.8; curves of `both` are at quality + 1 and at quality."""
    return lambda tables: build_table(toy_suite(), all_made(tables), registry)


def row(table, name):
    return next(one for one in table.rows if one["contender"] == name)


def test_a_row_has_the_costs_of_its_runs(table_of):
    table = table_of([*counted("fedavg", 0.3), *both("fedgen_edge", 0.4)])
    found = row(table, "fedavg")
    assert {one.key: found[one.key] for one in table.extras} == {
        "client_round_flops": 8 * 1000 / 4,  # four client-rounds
        "training_flops": 8000,
        "flops_to_target": 8000,  # the second point of either curve
        "training_memory_bytes": 5000,
        "stored_bytes": 36,
        "joining_bytes": 36,
        "downlink_per_client_round_bytes": 250,
    }
    assert all(row(table, "fedgen_edge")[one.key] is None for one in table.extras)


def test_a_target_that_is_reached_earlier_costs_less_and_one_that_is_not_costs_nothing_that_is_known(table_of):
    early = table_of(counted("fedavg", -0.5))
    assert row(early, "fedavg")["flops_to_target"] == 4000
    never = table_of(counted("fedavg", 5.0))
    assert "flops_to_target" not in never.columns


def test_energy_stands_where_devices_say_what_they_draw(table_of):
    drawn = counted("fedavg", -0.5, costs={"joules": 6.0, "joules_so_far": [2.5, 6.0]})
    found = row(table_of([*drawn, *counted("fedgen_edge", 0.4)]), "fedavg")
    keys = ("client_round_joules", "training_joules", "joules_to_target")
    assert [found[key] for key in keys] == [1.5, 6.0, 2.5]


def test_costs_of_some_seeds_alone_are_nobodys(table_of):
    first, second = counted("fedavg", 0.3)
    del second["costs"]
    assert table_of([first, second]).columns == COLUMNS


def test_rows_that_pool_the_data_have_no_downlink_and_nobody_who_joins(table_of):
    pooled = counted("centralized", 0.3, kind="pooled", ranked=False, costs={"joining_bytes": None})
    found = row(table_of([*counted("fedavg", 0.3), *pooled]), "centralized")
    assert found["joining_bytes"] is None
    assert found["downlink_per_client_round_bytes"] is None
    assert found["client_round_flops"] == 2000


def test_people_read_them_in_a_grid_of_their_own(registry, table_of):
    text = render(registry, "markdown", table_of(counted("fedavg", 0.3)))
    head, _, grid = text.partition("## Costs of training")
    assert "FLOPs" not in head.partition("## Paired")[0]
    assert "| fedavg | **2.00 kFLOP** | **8.00 kFLOP** |" in grid
    assert "counted" in grid
    assert "measured" in grid
