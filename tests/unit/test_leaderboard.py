from __future__ import annotations

import copy
import csv
import io
import json
import math
from dataclasses import replace

import pytest
from fedgen_bench_plugins.tables.csv_table import cell
from fedgen_bench_plugins.tables.markdown import Markdown, escape
from made_records import all_made

from fedgen_bench import NoParams
from fedgen_bench.base.errors import PairingError
from fedgen_bench.base.stats import interval, paired_difference
from fedgen_bench.results.leaderboard import build_table
from fedgen_bench.results.pairing import check_pairing
from fedgen_bench.results.table import COLUMNS


def test_interval_is_the_textbook_one():
    # 1..5: mean 3, s = sqrt(2.5), t(0.975, 4) = 2.776445 (any t table): half-width 2.776445 * sqrt(2.5 / 5) = 1.963243.
    found = interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (found.mean, found.n) == (3.0, 5)
    assert found.std == pytest.approx(math.sqrt(2.5))
    assert (found.low, found.high) == pytest.approx((3 - 1.963243, 3 + 1.963243), abs=1e-5)


def test_interval_of_two_values_is_wide():
    # t(0.975, 1) = 12.7062; 0 and 2: s = sqrt(2), half-width 12.7062 * sqrt(2) / sqrt(2).
    found = interval([0.0, 2.0])
    assert (found.low, found.high) == pytest.approx((1 - 12.7062, 1 + 12.7062), abs=1e-3)


def test_interval_of_one_value_has_no_width_and_of_none_raises():
    assert math.isnan(interval([4.0]).low)
    with pytest.raises(ValueError, match="at least one"):
        interval([])


def test_paired_difference_uses_shared_seeds_only():
    found = paired_difference({1: 1.0, 2: 2.0, 3: 9.0}, {2: 5.0, 1: 2.0, 7: 0.0})
    assert (found.mean, found.n) == (2.0, 2)
    assert paired_difference({1: 1.0}, {2: 1.0}) is None


def record(contender, seed, quality, *, status="done", ranked=True, off_suite=(), kind="sampled", up=1000, **digests):
    done = status == "done"
    return {
        "contender": contender,
        "seed": seed,
        "config": {"contender": {"ranked": ranked, "strategy": {"name": "fedavg"}, "adapter": {"name": "full"}}},
        "off_suite": list(off_suite),
        "status": status,
        "reason": "" if done else "it | broke",
        "metrics": {"test/toy_loss": quality, "valid/toy_loss": quality} if done else {},
        "per_client": {},
        "digests": {"partition": f"p{seed}", "cohort": f"c{seed}", "batches": f"b{seed}", "initial": f"i{seed}"}
        | digests
        if done
        else {},
        "facts": {"cohort_kind": kind, "trainable_params": 3, "backbone_params": 6, "data": {}} if done else {},
        "curve": [[1, quality + 1, up], [2, quality, 2 * up]] if done else [],
        "bytes": {"up": {"encoded": 2 * up}, "down": {"encoded": up}},
        "client_rounds": 4,
    }


def both(name, quality, **more):
    return [record(name, seed, quality + seed / 100, **more) for seed in (1, 2)]


@pytest.fixture
def table_of(registry, toy_suite):
    return lambda tables: build_table(toy_suite(), all_made(tables), registry)


def ranks(table):
    return {row["contender"]: row["rank"] for row in table.rows}


def test_table_ranks_by_quality_and_leaves_references_unranked(table_of):
    records = [
        *both("fedgen_edge", 0.5), *both("fedavg", 0.3), *both("local_only", 0.1, ranked=False),
        *both("centralized", 0.2, ranked=False, kind="pooled"),
    ]  # fmt: skip
    table = table_of(records)
    assert ranks(table) == {"fedavg": 1, "fedgen_edge": 2, "local_only": None, "centralized": None}
    assert [row["contender"] for row in table.rows][:2] == ["fedavg", "fedgen_edge"]
    assert table.paired["fedavg"].mean == pytest.approx(-0.2)


def test_table_does_not_depend_on_the_order_of_records(table_of):
    records = [*both("fedgen_edge", 0.5), *both("fedavg", 0.3)]
    assert table_of(records) == table_of(records[::-1])


def test_table_never_ranks_off_suite_runs_however_good(table_of):
    table = table_of([*both("fedavg", 0.3), *both("fedavg", 0.0, off_suite=["federation.rounds=9"])])
    assert ranks(table) == {"fedavg": 1, "fedavg (federation.rounds=9)": None}


def test_table_shows_incomplete_and_failed_contenders_without_rank(table_of):
    failed = [record("fedgen_edge", 1, 0.1), record("fedgen_edge", 2, 0.0, status="diverged")]
    table = table_of([*failed, record("fedavg", 1, 0.3)])
    assert ranks(table) == {"fedgen_edge": None, "fedavg": None}
    assert {row["contender"]: row["status"] for row in table.rows} == {
        "fedgen_edge": "diverged",
        "fedavg": "incomplete",
    }
    assert table.reasons == {"fedgen_edge": "seed 2: it | broke"}


def test_table_measures_uplink_against_the_full_model(table_of):
    table = table_of([*both("fedavg", 0.3, up=1000), *both("fedgen_edge", 0.5, up=10)])
    saved = {row["contender"]: row["uplink_reduction_vs_full"] for row in table.rows}
    assert saved == {"fedavg": 0.0, "fedgen_edge": pytest.approx(0.99)}


def test_table_counts_rounds_and_bytes_to_the_target(table_of):
    # The toy suite's target is 0.8: 0.9 (round 1) misses it, 0.7 + seed / 100 - ... (round 2) reaches it.
    rows = table_of([*both("fedavg", 0.7), *both("fedgen_edge", 1.2)]).rows
    by_name = {row["contender"]: row for row in rows}
    assert by_name["fedavg"]["rounds_to_target_mean"] == 2.0
    assert by_name["fedavg"]["uplink_to_target_bytes"] == 2000.0
    assert by_name["fedgen_edge"]["rounds_to_target_mean"] is None


def test_table_holds_no_nan(table_of):
    for row in table_of([record("fedavg", 1, 0.3), *both("fedgen_edge", 0.5)]).rows:
        assert not any(isinstance(value, float) and math.isnan(value) for value in row.values())


@pytest.mark.parametrize("what", ["partition", "cohort", "batches", "initial"])
def test_pairing_refuses_runs_that_saw_different_things(table_of, what):
    records = [record("fedavg", 1, 0.3), record("fedgen_edge", 1, 0.5, **{what: "other"})]
    with pytest.raises(PairingError) as caught:
        table_of(records)
    assert "fedavg/1" in str(caught.value)
    assert "fedgen_edge/1" in str(caught.value)
    assert what in str(caught.value)


def test_pairing_refuses_runs_on_other_data_even_under_other_seeds():
    first, second = record("fedavg", 1, 0.3), record("fedgen_edge", 2, 0.5)
    check_pairing(all_made([first, second]))
    second = second | {"facts": second["facts"] | {"data": {"backbone": "another"}}}
    with pytest.raises(PairingError, match=r"fedgen_edge/2 and fedavg/1 differ in their data digest"):
        check_pairing(all_made([first, second]))


def test_pairing_lets_incomparable_rows_be():
    check_pairing(
        all_made(
            [
                record("fedavg", 1, 0.3),
                record("fedavg", 2, 0.3),
                record("centralized", 1, 0.3, kind="pooled", batches="other"),
                record("fedgen_edge", 1, 0.3, status="failed"),
                record("fedgen_edge", 1, 0.3, off_suite=["x=1"], batches="other"),
            ]
        )
    )


def test_build_table_leaves_records_alone(table_of):
    records = [*both("fedavg", 0.3), *both("fedgen_edge", 0.5)]
    before = copy.deepcopy(records)
    table_of(records)
    assert records == before


def render(registry, name, table):
    spec = registry.get("table_format", name).spec
    return spec.build(spec.params()).render(table)


def test_csv_has_every_column_and_reads_back(registry, table_of):
    rows = list(csv.DictReader(io.StringIO(render(registry, "csv", table_of(both("fedavg", 0.3))))))
    assert tuple(rows[0]) == COLUMNS
    assert float(rows[0]["quality_mean"]) == pytest.approx(0.315)
    assert rows[0]["personalized_mean"] == ""


def test_json_is_strict_json(registry, table_of):
    table = table_of([record("fedavg", 1, 0.3), record("fedgen_edge", 1, math.inf, ranked=False)])
    text = render(registry, "json", table)
    assert json.loads(text, parse_constant=pytest.fail)["suite"] == "toy"


def test_markdown_keeps_hostile_text_in_its_cell(registry, table_of):
    table = table_of([record("a|b<script>", 1, 0.3), record("fedavg", 1, 0.3)])
    lines = render(registry, "markdown", table).splitlines()
    (row,) = [line for line in lines if line.startswith("| – | a")]
    assert "a\\|b&lt;script&gt;" in row
    head = next(line for line in lines if line.startswith("| rank"))
    assert row.replace("\\|", "").count("|") == head.count("|")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)"])
def test_csv_cell_neutralises_formulas(text):
    assert cell(text) == "'" + text


def test_csv_cell_shows_a_tab_as_an_escape():
    assert cell("\t=1") == r"'\t=1"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        (-0.5, "-0.5"),
        (-3, "-3"),
        ("plain", "plain"),
        (0.1, "0.1"),
        (1e-9, "1e-09"),
        ("a\r=b\nc", "a =b c"),
        ("\r=1", "' =1"),
    ],
)
def test_csv_cell_leaves_numbers_and_text_on_one_line(value, shown):
    assert cell(value) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", "a\\|b"),
        ("a\\|b", "a\\\\\\|b"),
        ("a\nb\r\nc\rd", "a b c d"),
        ("<img onerror=x>", "&lt;img onerror=x&gt;"),
        ("![x](http://y)", "![x]\\(http://y)"),
        ("plain `code`", "plain `code`"),
    ],
)
def test_markdown_escape_keeps_text_in_its_cell(text, shown):
    assert escape(text) == shown


def noisy(name, *qualities):
    return [record(name, seed, quality) for seed, quality in enumerate(qualities, start=1)]


def test_contenders_that_seeds_do_not_tell_apart_share_a_rank(table_of):
    # Over two seeds: b - a is (+0.3, -0.1), which includes zero; c - a is (+1, +1.001), half-width 12.7 * 0.0005.
    # d - c is (+0.2, +0.6): half-width 12.7 * 0.2 includes zero, so d shares c's rank, which is c's place.
    table = table_of(
        [*noisy("a", 0.5, 0.5), *noisy("b", 0.8, 0.4), *noisy("c", 1.5, 1.501), *noisy("fedgen_edge", 1.7, 2.101)]
    )
    assert ranks(table) == {"a": 1, "b": 1, "c": 3, "fedgen_edge": 3}


def test_rank_of_one_seed_is_by_its_value(registry, toy_suite):
    suite = toy_suite("seeds.leaderboard=[1]")
    table = build_table(suite, all_made([*noisy("a", 0.5), *noisy("fedgen_edge", 0.5), *noisy("b", 0.6)]), registry)
    assert ranks(table) == {"a": 1, "fedgen_edge": 1, "b": 3}


def test_runs_of_a_suite_without_a_sweep_are_refused_when_their_settings_and_batches_differ():
    other = record("fedgen_edge", 1, 0.5, batches="other")
    other["config"]["training"] = {"batch_size": 99}
    with pytest.raises(PairingError, match="batches"):
        check_pairing(all_made([record("fedavg", 1, 0.5), other]))


def test_overridden_run_still_says_what_it_saves(table_of):
    changed = [record("fedgen_edge", 1, 0.5, off_suite=("federation.rounds=9",), up=10)]
    changed[0]["config"]["federation"] = {"rounds": 9}
    rows = {row["contender"]: row for row in table_of([*both("fedavg", 0.3), *changed]).rows}
    assert rows["fedgen_edge (federation.rounds=9)"]["uplink_reduction_vs_full"] == pytest.approx(0.99)


@pytest.mark.parametrize(
    ("steps", "contender", "said"),
    [
        (0, {}, "after no local step: it is the global model as it is; mean"),
        (32, {}, "after 32 local steps from the global model on their own data, which [Set-up](#set-up) shows"),
        (0, {"personalization": {"start": "kept"}}, "after 0 local steps from the global model on their own data, wh"),
    ],
)
def test_table_says_what_clients_do_by_themselves(steps, contender, said, table_of):
    table = table_of([record("fedavg", 1, 1.0)])
    setup = {**table.setup, "personalization": {"steps": steps, "start": "global"}, "contender": {"one": contender}}
    rows = [{**row, "personalized_mean": 1.0} for row in table.rows]
    assert said in Markdown(NoParams()).render(replace(table, setup=setup, rows=tuple(rows)))


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("personalization.steps", "after local steps (1 at x=2, 4 at x=3, 32 elsewhere) from the global model"),
        ("personalization.learning_rate", "after 32 local steps from the global model"),
    ],
)
def test_table_says_which_steps_a_sweep_has(path, said, table_of):
    table = table_of([record("fedavg", 1, 1.0)])
    points = [{"value": value, "set": {path: steps}} for value, steps in ((2.0, 1), (3.0, 4))]
    sweep = {"axis": "x", "of": "toy", "contenders": ["fedavg"], "point": points}
    way = {"steps": 32, "start": "global"}
    setup = {**table.setup, "personalization": way, "contender": {"one": {}}, "sweep": sweep}
    rows = [{**row, "personalized_mean": 1.0} for row in table.rows]
    assert said in Markdown(NoParams()).render(replace(table, setup=setup, rows=tuple(rows)))
