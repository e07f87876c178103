"""Costs of a stranger's record are held against all that they follow from."""

from __future__ import annotations

import pytest
from made_records import made
from test_cost_columns import COSTS
from test_leaderboard import record

from fedgen_bench.results.details import MessageRow
from fedgen_bench.results.tiers import Tier
from fedgen_bench.review.comparison import compare_records, values_of
from fedgen_bench.review.validation.costs import costs, first_messages


def counted(seed=1, facts=None, **values):
    """A run of the made-up suite: two rounds of two clients with two steps each, three parameters."""
    one = record("fedavg", seed, 0.3) | {"costs": COSTS | values}
    return made(one | {"facts": one["facts"] | (facts or {})})


def said(registry, *records):
    return [one.text for one in costs(records, registry)]


def test_costs_of_a_run_are_no_problem(registry):
    assert said(registry, counted(), counted(seed=2), made(record("fedavg", 1, 0.3))) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"steps_so_far": [4, 7]}, "`costs.steps_so_far` ends at 7, and there are 8 in all"),
        ({"n_steps": 9, "steps_so_far": [4, 9]}, "cohorts and steps give at most 8"),
        ({"joules": 3.0, "joules_so_far": [1.0, 2.0]}, "`costs.joules_so_far` ends at 2.0"),
        ({"joules": 3.0, "joules_so_far": [1.0, 3.0]}, "the suite has no devices"),
        ({"model_bytes": 2}, "`costs.model_bytes` is 2, and 3 parameters are trained"),
        ({"joining_bytes": None}, "no `costs.joining_bytes`"),
        ({"facts": {"cohort_kind": "none"}}, "Nothing is trained there"),
        ({"facts": {"cohort_kind": "pooled"}}, "there is `costs.joining_bytes`"),
    ],
)  # fmt: skip
def test_what_no_cell_can_have_is_named(registry, changes, expected):
    assert any(expected in text for text in said(registry, counted(**changes)))


def test_one_task_and_adapter_have_one_size(registry):
    (text,) = said(registry, counted(), counted(model_bytes=25))
    assert "`costs.model_bytes` is 25, that of fedavg/1 24" in text


def test_a_new_device_fetches_the_first_message_at_least():
    one = counted()
    rows = [
        MessageRow(one.contender, one.seed, one.digest, at, client, way, "fit", n, n, 0)
        for at, client, way, n in ((0, 3, "down", 40), (0, 2, "down", 37), (0, 2, "up", 99), (1, 2, "down", 80))
    ]
    (notice,) = first_messages([one], rows)
    assert "`costs.joining_bytes` is 36, a first message has 37" in notice.text
    assert list(first_messages([counted(joining_bytes=37)], rows)) == []


@pytest.mark.parametrize("turned", [False, True])
def test_a_rerun_is_compared_whether_or_not_both_have_costs(turned):
    both = [counted(), made(record("fedavg", 1, 0.3))]
    published, here = reversed(both) if turned else both
    cell = compare_records(published, here, Tier("exact", (), ()), {})
    assert cell.reproduced
    assert {one.verdict for one in cell.values if one.group == "costs"} == {"shown"}


def test_costs_that_differ_are_shown_and_judged_by_nobody():
    cell = compare_records(counted(), counted(training_bytes=4000), Tier("exact", (), ()), {})
    assert cell.reproduced
    assert {one.what for one in cell.values if one.group == "costs" and one.verdict != "equal"} == {"training_bytes"}
    assert dict(values_of(counted()))["costs", "step_flops"] == 1000
