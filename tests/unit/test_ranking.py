"""Ranks within the points of a sweep, and what tables say of them, of failed cells and of added contenders."""

import json
from dataclasses import replace

import pytest
from fedgen_bench_plugins.tables.json_table import JsonTable
from fedgen_bench_plugins.tables.markdown import Markdown
from made_records import all_made

from fedgen_bench import NoParams
from fedgen_bench.contract.specs import SuiteSource
from fedgen_bench.results.leaderboard import build_table
from fedgen_bench.suite.load import load_suite
from fedgen_bench.testing import toy

SWEEP = """
[sweep]
of = "toy"
axis = "steps"
contenders = ["fedgen_edge", "fedavg"]
[[sweep.point]]
value = 1
set = { "evaluation.personalized_steps" = 1 }
[[sweep.point]]
value = 5
set = { "evaluation.personalized_steps" = 5 }
"""


def record(contender, seed, quality, *, under=0, status="done", off_suite=(), added=None):
    name, _, value = contender.partition("@steps=")
    done = status == "done"
    plain = {"ranked": True, "strategy": {"name": "fedavg"}, "adapter": {"name": "full"}}
    config = {"contender": added or plain, "evaluation": {"personalized_steps": under}}
    if value:
        config["point"] = {"contender": name, "axis": "steps", "value": float(value)}
    return {
        "contender": contender, "seed": seed, "config": config, "off_suite": list(off_suite), "status": status,
        "reason": "" if done else "it broke",
        "metrics": {"test/toy_loss": quality} if done else {}, "per_client": {},
        "digests": dict.fromkeys(("partition", "cohort", "batches", "initial"), str(seed)),
        "facts": {"cohort_kind": "sampled", "trainable_params": 3, "backbone_params": 6, "data": {}} if done else {},
        "curve": [], "bytes": {"up": {"encoded": 10}, "down": {"encoded": 10}}, "client_rounds": 4,
    }  # fmt: skip


def both(name, quality, **more):
    return [record(name, seed, quality + seed / 100, **more) for seed in (1, 2)]


def _with_own(table):
    return replace(table, rows=[{**row, "personalized_mean": 1.0} for row in table.rows])


@pytest.fixture
def swept(registry):
    suite = load_suite(SuiteSource(name="toy", text=toy.SUITE + SWEEP, path="s.toml"), registry)
    records = [
        *both("fedgen_edge@steps=1", 0.4, under=1), *both("fedavg@steps=1", 0.3, under=1),
        *both("fedgen_edge@steps=5", 0.1, under=5), *both("fedavg@steps=5", 0.2, under=5),
    ]  # fmt: skip
    return build_table(suite, all_made(records), registry)


def test_ranks_hold_within_a_point_and_say_so(swept):
    assert [(row["rank"], swept.among[row["contender"]], row["contender"]) for row in swept.rows] == [
        (1, "steps=1", "fedavg@steps=1"), (2, "steps=1", "fedgen_edge@steps=1"),
        (1, "steps=5", "fedgen_edge@steps=5"), (2, "steps=5", "fedavg@steps=5"),
    ]  # fmt: skip


def test_the_best_of_every_point_is_bold(swept):
    lines = Markdown(NoParams()).render(swept).splitlines()
    assert lines[2].startswith("| rank | within | contender |")
    bold = [line.split(" | ")[2] for line in lines[4:8] if line.split(" | ")[4].startswith("**")]
    assert bold == ["fedavg@steps=1", "fedgen_edge@steps=5"]
    assert any(
        line.startswith("- **within**: ranks, and what is bold, hold among rows of one `steps`") for line in lines
    )


def test_table_without_a_sweep_has_one_ranking(registry, toy_suite):
    table = build_table(toy_suite(), all_made([*both("fedavg", 0.3), *both("fedgen_edge", 0.2)]), registry)
    assert table.among == {}
    assert "within" not in Markdown(NoParams()).render(table)
    assert "among" not in json.loads(JsonTable(NoParams()).render(table))


def test_failed_run_off_the_suite_is_shown_as_failed(registry, toy_suite):
    broken = record("fedavg", 1, 0.0, status="failed", off_suite=("federation.rounds=9",))
    (row,) = build_table(toy_suite(), all_made([broken]), registry).rows
    assert (row["status"], row["rank"]) == ("failed", None)


def test_contender_that_was_added_is_in_the_set_up(registry, toy_suite):
    strategy = {"name": "mine", "params": {}, "version": "1", "source_sha256": ""}
    added = {"name": "mine", "ranked": True, "learning_rate": 0.5, "strategy": strategy}
    table = build_table(toy_suite(), all_made([*both("fedavg", 0.3), *both("mine", 0.2, added=added)]), registry)
    assert table.setup["contender"]["mine"] == added | {"adapter": strategy | {"name": ""}}
    assert "  - mine: " in Markdown(NoParams()).render(table)
