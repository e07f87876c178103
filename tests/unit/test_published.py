"""What is published is what the code gives, and what the suites say is what tuning chose."""

import csv
import json
from pathlib import Path

import pytest

from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.results.checking import check_folder
from fedgen_bench.results.files import CLAIMS
from fedgen_bench.review.claims.gathering import gather
from fedgen_bench.review.claims.judging import written
from fedgen_bench.suite.load import load_suite
from fedgen_bench.suite.sweeps import variants

LEADERBOARDS = Path(__file__).parents[2] / "leaderboards"
PUBLISHED = sorted(path.parent for path in LEADERBOARDS.glob("*/results.json"))
JUDGED = sorted(path.parent for path in LEADERBOARDS.glob(f"*/{CLAIMS}"))
TUNED = sorted(
    (path.parent, path.name)
    for name in ("tuning.csv", "personalization.csv")
    for path in LEADERBOARDS.glob(f"*/{name}")
)


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


@pytest.mark.parametrize(("folder", "name"), TUNED, ids=str)
def test_suite_uses_what_tuning_chose(folder, name):
    registry = load_registry()
    suite = load_suite(registry.get("suite", folder.name).spec, registry)
    contenders = {one.name: one.model_dump() for one in suite.contender}
    with (folder / name).open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    grids = {"tuning.csv": suite.tuning.grid, "personalization.csv": suite.tuning.personalization}
    assert {row["contender"] for row in rows} == set(grids[name])
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
    assert suites[0].personalization == suites[1].personalization
    local, edge = (
        next(one for one in suites[0].contender if one.name == name) for name in ("local_only", "fedgen_edge")
    )
    assert local.adapter == edge.adapter
    if suites[0].personalization is None:  # it has no grid of its own
        assert local.learning_rate == edge.learning_rate


def test_claims_are_published_of_both_kinds_of_model():
    assert {"ptb", "cifar10"} <= {folder.name for folder in JUDGED}


@pytest.mark.parametrize("folder", JUDGED, ids=lambda folder: folder.name)
def test_published_claims_are_what_the_results_give(folder):
    registry = load_registry()
    files = written(gather(LEADERBOARDS, folder.name, registry), registry)
    assert {path.name for path in (folder / "claims").iterdir()} == {
        name.removeprefix("claims/") for name in files if name.startswith("claims/")
    }
    for name, content in files.items():
        assert name.endswith(".svg") or (folder / name).read_bytes() == content, name


@pytest.mark.parametrize("name", ["ptb-rank", "cifar10-rank"])
def test_rank_suite_uses_the_learning_rates_that_validation_chose(name):
    registry = load_registry()
    suite = load_suite(registry.get("suite", name).spec, registry)
    with (LEADERBOARDS / name / "learning_rates.csv").open(newline="") as handle:
        trials = list(csv.DictReader(handle))
    measured = next(key for key in trials[0] if key.startswith("valid/"))
    chosen = {}
    for trial in sorted(trials, key=lambda one: -float(one[measured])):
        assert int(trial["seed"]) not in suite.seeds.leaderboard
        chosen[trial["contender"], trial["rank"]] = float(trial["learning_rate"])
    for one in variants(suite):
        if (
            one.contender.ranked
            and (key := (one.contender.name, f"{one.point.value:g}" if one.point else "")) in chosen
        ):
            assert one.contender.learning_rate == chosen.pop(key), one.name
    assert not chosen
