"""Parts of a published folder, each in one place: rows, files, environments, manifest."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest
from made_records import all_made, made

from fedgen_bench.base.files import sha256_of
from fedgen_bench.results.contents import contents_of
from fedgen_bench.results.environments import by_environment, environments_text
from fedgen_bench.results.files import BANDS, RESULTS, drawn_names, is_known, table_names
from fedgen_bench.results.leaderboard import build_table
from fedgen_bench.results.manifest import compared, is_listed
from fedgen_bench.results.pairing import comparable
from fedgen_bench.results.table import COLUMNS, Row


def test_rows_of_a_table_are_plain_tables_by_column(registry, toy_suite):
    record = made({"metrics": {"test/toy_loss": 0.5}})
    (row,) = build_table(toy_suite(), [record], registry).rows
    assert type(row) is dict
    assert tuple(row) == COLUMNS == tuple(one.name for one in fields(Row))
    assert (row["contender"], row["quality_mean"], row["quality_std"], row["rank"]) == ("fedavg", 0.5, None, None)


def test_runs_that_failed_or_ran_under_overrides_are_not_comparable():
    tables = [{}, {"status": "failed", "digests": {}, "facts": {}}, {"off_suite": ["training.local_steps=1"]}]
    assert comparable(all_made(tables)) == all_made(tables[:1])


def test_environments_are_grouped_and_may_leave_a_key_out():
    tables = [{"seed": i, "environment": {"device": device, "commit": i}} for i, device in enumerate("ab")]
    records = all_made([*tables, {"seed": 2, "environment": {"device": "a", "commit": 2}}])
    found = by_environment(records, but=("commit",))
    assert [(where["device"], [one.seed for one in together]) for where, together in found] == [
        ("a", [0, 2]),
        ("b", [1]),
    ]
    assert [one["runs"] for one in json.loads(environments_text(records))] == [["fedavg/0"], ["fedavg/1"], ["fedavg/2"]]


def test_manifest_tells_missing_unlisted_and_changed_files(tmp_path):
    for name in "ab":
        (tmp_path / name).write_text(name, encoding="utf-8")
    found = compared(tmp_path, {"a": sha256_of(tmp_path / "a"), "b": "0" * 64, "gone": ""}, ["a", "b", "new"])
    assert (found.missing, found.unlisted, [name for name, _ in found.changed]) == (("gone",), ("new",), ["b"])
    assert found.changed[0][1] == sha256_of(tmp_path / "b")
    assert found.names == ["b", "gone", "new"]


@pytest.mark.parametrize(
    ("name", "listed"), [("a", True), ("claims/a.csv", True), (".a", False), ("SHA256SUMS", False)]
)
def test_manifest_lists_neither_itself_nor_hidden_files(name, listed):
    assert is_listed(name) is listed


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("results.json", True),
        ("table.md", True),
        ("claims/a.svg", True),
        ("claims/a/b.svg", False),
        ("notes.txt", False),
    ],
)
def test_names_of_files_that_a_published_folder_may_hold(name, known, registry):
    assert is_known(name, registry) is known


def test_contents_are_results_bands_and_every_table_that_is_not_left_out(registry, toy_suite):
    records = [made({"metrics": {"test/toy_loss": 0.5}})]
    table = build_table(toy_suite(), records, registry)
    drawn = drawn_names(registry)
    found = contents_of(table, records, suite=toy_suite(), suite_text="", registry=registry, but=drawn)
    assert found.keys() == {RESULTS, BANDS} | table_names(registry) - drawn
