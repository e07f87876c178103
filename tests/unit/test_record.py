"""Records are types that are written with the bytes that they were read from."""

import json
from pathlib import Path

import pytest
from made_records import made

from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.results.files import RESULTS
from fedgen_bench.results.published import open_folder
from fedgen_bench.results.published.writing import results_text
from fedgen_bench.results.record import from_json, to_json
from fedgen_bench.suite.load import load_suite

LEADERBOARDS = Path(__file__).parents[2] / "leaderboards"
PUBLISHED = sorted(LEADERBOARDS.glob(f"*/{RESULTS}"))


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.parent.name)
def test_every_published_record_is_written_as_it_was_read(path):
    found = open_folder(path.parent)
    suite = load_suite(found.source, load_registry())
    assert results_text(suite, found.source.text, found.records) == path.read_text(encoding="utf-8")


def test_every_folder_of_leaderboards_holds_results():
    folders = sorted(path for path in LEADERBOARDS.iterdir() if path.is_dir())
    assert folders
    assert [path.parent for path in PUBLISHED] == folders


def test_whole_numbers_and_real_ones_stay_what_they_are():
    record = made({"metrics": {"test/a": 1, "test/b": 1.0}, "curve": [[1, 2, 10]]})
    table = json.loads(json.dumps(to_json(record)))
    assert json.dumps(table["metrics"]) == '{"test/a": 1, "test/b": 1.0}'
    assert json.dumps(table["curve"]) == "[[1, 2, 10]]"
    assert from_json(table) == record


@pytest.mark.parametrize("name", ["showcase", "sample"])
@pytest.mark.parametrize("shown", ["", "something"])
def test_what_a_model_generates_has_a_key_where_there_is_some(name, shown):
    record = made({name: shown})
    assert (name in to_json(record)) is bool(shown)
    assert from_json(to_json(record)) == record


def test_record_that_did_not_finish_has_empty_tables():
    failed = made({"status": "failed", "reason": "broke", "digests": {}, "facts": {}})
    assert from_json(to_json(failed)) == failed
    assert to_json(failed)["facts"] == {}


def test_method_is_the_contender_without_its_point():
    point = {"contender": "fedavg", "axis": "rank", "value": 2.0}
    assert made({"contender": "fedavg@rank=2", "config": {"point": point}}).method == "fedavg"
    assert made({"contender": "fedavg"}).method == "fedavg"


@pytest.mark.parametrize(
    ("asked", "followed"), [({}, "loss"), ({"round_metric": None}, "loss"), ({"round_metric": "fid"}, "fid")]
)
def test_followed_metric_is_the_one_that_ranks_unless_another_is_asked_for(asked, followed):
    assert made({"config": {"evaluation": {"metric": "loss", **asked}}}).followed == followed
