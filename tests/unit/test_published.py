"""What is published is what the code gives, and what the suites say is what tuning chose."""

import csv
import json
from pathlib import Path

import pytest

from fedgen_bench.plugins import load_registry
from fedgen_bench.publish import check_folder
from fedgen_bench.suites import load_suite

LEADERBOARDS = Path(__file__).parents[2] / "leaderboards"
PUBLISHED = sorted(path.parent for path in LEADERBOARDS.glob("*/results.json"))
TUNED = sorted(path.parent for path in LEADERBOARDS.glob("*/tuning.csv"))


def _value(table, path):
    for part in path.split("."):
        table = table[part]
    return table


def test_published_leaderboards_exist():
    assert {"ptb"} <= {folder.name for folder in PUBLISHED}


@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda folder: folder.name)
def test_published_leaderboard_is_what_its_results_give(folder):
    assert check_folder(folder, load_registry()) == []


@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda folder: folder.name)
def test_published_suite_text_is_the_suite_of_the_code(folder):
    body = json.loads((folder / "results.json").read_text())
    assert body["suite_text"] == load_registry().get("suite", folder.name).spec.text


@pytest.mark.parametrize("folder", TUNED, ids=lambda folder: folder.name)
def test_suite_uses_what_tuning_chose(folder):
    registry = load_registry()
    suite = load_suite(registry.get("suite", folder.name).spec, registry)
    contenders = {one.name: one.model_dump() for one in suite.contender}
    with (folder / "tuning.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert {row["contender"] for row in rows} == set(suite.tuning.grid)
    for row in rows:
        assert row["status"] in {"done", "diverged"}
        if row["chosen"] == "1":
            for path, value in json.loads(row["overrides"]).items():
                assert _value(contenders[row["contender"]], path) == value, row["contender"]


@pytest.mark.parametrize(
    ("variant", "tuned"),
    [("ptb-contiguous", "ptb"), ("cifar10-iid", "cifar10"), ("cifar10-pathological", "cifar10")],
)
def test_variant_uses_the_contenders_of_the_tuned_suite(variant, tuned):
    registry = load_registry()
    suites = [load_suite(registry.get("suite", name).spec, registry) for name in (tuned, variant)]
    assert suites[0].contender == suites[1].contender
    local, edge = (
        next(one for one in suites[0].contender if one.name == name) for name in ("local_only", "fedgen_edge")
    )
    assert (local.learning_rate, local.adapter) == (edge.learning_rate, edge.adapter)
