"""`.github/results.py`: rows may come to published folders, and nothing may go from them or change."""

import importlib.util
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from made_folders import publish

from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.results.published import open_folder

ROOT = Path(__file__).parents[2]
NAME = "ptb-smollm2"
PUBLISHED = ROOT / "leaderboards" / NAME

spec = importlib.util.spec_from_file_location("check_of_submissions", ROOT / ".github" / "results.py")
results = importlib.util.module_from_spec(spec)
spec.loader.exec_module(results)


BLOCK = {"FEDGEN_BLOCK": "plots"}  # which take long


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """What is published, without one row, and what a pull request would make of it: the row is added."""
    registry, records = load_registry(environ=BLOCK), open_folder(PUBLISHED).records
    root = tmp_path_factory.mktemp("made")
    publish(root / "base" / NAME, registry, PUBLISHED, [one for one in records if one.contender != "prompt_tuning"])
    publish(root / "submitted" / NAME, registry, PUBLISHED, records)
    return root


@pytest.fixture
def folders(made, tmp_path, monkeypatch):
    for name, value in BLOCK.items():
        monkeypatch.setenv(name, value)
    return tuple(Path(shutil.copytree(made / one, tmp_path / one)) for one in ("base", "submitted"))


def changed(submitted, change):
    """The submitted folder with other records, published as a whole."""
    records = [one for one in map(change, open_folder(PUBLISHED).records) if one]
    shutil.rmtree(submitted / NAME)
    publish(submitted / NAME, load_registry(), PUBLISHED, records)


def test_rows_that_are_added_pass(folders):
    assert list(results.findings(*folders)) == []


def test_folders_that_are_the_same_are_not_looked_at(folders, monkeypatch):
    base, _ = folders
    monkeypatch.setattr(results, "Session", None)
    assert list(results.findings(base, base)) == []


def test_a_folder_that_is_gone_is_told(folders):
    base, submitted = folders
    shutil.rmtree(submitted / NAME)
    assert list(results.findings(base, submitted)) == [f"{NAME} is gone. Published results stay; put it back."]


def test_a_published_row_that_is_gone_is_told(folders):
    base, submitted = folders
    changed(submitted, lambda one: None if one.contender == "frozen" else one)
    found = list(results.findings(base, submitted))
    assert f"{NAME}: frozen/1 was changed or is gone. Add rows with `fedgen-bench merge`." in found


def test_a_published_number_that_was_changed_is_told(folders):
    base, submitted = folders

    def better(record):
        if record.contender != "fedgen_edge":
            return record
        quality = f"test/{record.config.evaluation.metric}"
        return replace(record, metrics={**record.metrics, quality: record.metrics[quality] - 20})

    changed(submitted, better)
    found = list(results.findings(base, submitted))
    said = [f"{NAME}: fedgen_edge/{i} was changed or is gone. Add rows with `fedgen-bench merge`." for i in (1, 2, 3)]
    assert found == said


def test_rows_of_another_machine_pass(folders):
    base, submitted = folders

    def moved(record):
        there = {**record.environment, "instruction_set": "AVX2"}
        return replace(record, environment=there) if record.contender == "prompt_tuning" else record

    changed(submitted, moved)
    assert list(results.findings(base, submitted)) == []


def test_problems_of_a_new_folder_are_told(folders):
    base, submitted = folders
    shutil.rmtree(base / NAME)
    assert list(results.findings(base, submitted)) == []
    body = json.loads((submitted / NAME / "results.json").read_text())
    body["records"][0]["metrics"] = {}
    (submitted / NAME / "results.json").write_text(json.dumps(body))
    (submitted / NAME / "run.py").write_text("raise SystemExit('executed')")
    found = "\n".join(results.findings(base, submitted))
    assert "(folder) run.py may hold code" in found
    assert "(schema)" in found
