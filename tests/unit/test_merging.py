"""`merge`: rows of another machine stand beside the published ones, or it is said why they must not."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import commands
import pytest
from commands import here
from made_folders import publish

from fedgen_bench.base.errors import FedgenError, StoreError, UsageError
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.results.checking import check_folder
from fedgen_bench.results.files import ENVIRONMENT, RESULTS, TIMING
from fedgen_bench.results.published import open_folder
from fedgen_bench.review.validation import validate
from fedgen_bench.session.merging import merge

NAME = "ptb-smollm2"
PUBLISHED = Path(__file__).parents[2] / "leaderboards" / NAME
ROW = "prompt_tuning"
ELSEWHERE = {"processor": "Another", "instruction_set": "AVX2"}


@pytest.fixture(scope="module")
def registry():
    return load_registry(environ={"FEDGEN_BLOCK": "plots"})  # which take long


def records(keep=lambda _: True, change=lambda one: one):
    return [change(one) for one in open_folder(PUBLISHED).records if keep(one)]


def moved(record):
    """From another machine."""
    return replace(record, environment={**record.environment, **ELSEWHERE})


@pytest.fixture(scope="module")
def made(tmp_path_factory, registry):
    """The published folder without one row; what another machine publishes: that row, and one that is there already."""
    root = tmp_path_factory.mktemp("made")
    publish(root / "leaderboards" / NAME, registry, PUBLISHED, records(lambda one: one.contender != ROW))
    publish(root / "theirs", registry, PUBLISHED, records(lambda one: one.contender in {ROW, "fedgen_edge"}, moved))
    return root


@pytest.fixture
def leaderboards(made, tmp_path):
    return Path(shutil.copytree(made / "leaderboards", tmp_path / "leaderboards"))


@pytest.fixture
def theirs(made, tmp_path):
    return Path(shutil.copytree(made / "theirs", tmp_path / "theirs"))


def test_a_row_that_was_taken_out_is_put_back_with_every_byte(leaderboards, registry):
    publish(leaderboards / "whole", registry, PUBLISHED, records())
    found = merge(leaderboards / "whole", leaderboards, registry, contenders=(), write=True)
    assert {one.contender for one in found.rows.added} == {ROW}
    files = {one.name: one.read_bytes() for one in found.folder.iterdir()}
    assert files == {one.name: one.read_bytes() for one in (leaderboards / "whole").iterdir()}
    assert len(files) > 8
    assert "index.html" not in files  # a format on request


def test_rows_of_another_machine_stand_in_a_section_of_their_own(leaderboards, theirs, registry):
    found = merge(theirs, leaderboards, registry, contenders=(), write=True)
    assert {one.tier.name for one in found.rows.shared} == {"band"}
    assert [one.reproduced for one in found.rows.shared] == [True] * len(found.rows.shared) != []
    assert check_folder(found.folder, registry) == []
    report = validate(found.folder, registry)
    assert report.problems == ()
    assert any(ROW in one.text and "another environment" in one.text for one in report.remarks)
    page = (found.folder / "table.md").read_text()
    assert f"| Another, AVX2, Linux x86_64, Python 3.11.7, torch 2.14.1 | `{ROW}` |" in page
    listed = json.loads((found.folder / ENVIRONMENT).read_text())
    assert [ROW in " ".join(one["runs"]) for one in listed if one["environment"]["processor"] == "Another"] == [True]
    kept = {one.name: one for one in open_folder(found.folder).records}
    assert all(kept[one.name] == one for one in records() if one.contender != ROW)


def test_looking_changes_nothing(leaderboards, theirs, registry):
    before = {one: one.read_bytes() for one in (leaderboards / NAME).iterdir()}
    merge(theirs, leaderboards, registry, contenders=(ROW,), write=False)
    assert {one: one.read_bytes() for one in (leaderboards / NAME).iterdir()} == before


def refused(leaderboards, theirs, registry, contenders=()):
    before = {one: one.read_bytes() for one in leaderboards.rglob("*") if one.is_file()}
    with pytest.raises(FedgenError) as told:
        merge(theirs, leaderboards, registry, contenders=contenders, write=True)
    assert {one: one.read_bytes() for one in leaderboards.rglob("*") if one.is_file()} == before
    return type(told.value), str(told.value)


def better(record):
    quality = f"test/{record.config.evaluation.metric}"
    if record.contender == ROW:
        return moved(record)
    return moved(replace(record, metrics={**record.metrics, quality: record.metrics[quality] * 0.9}))


CASES = {
    "numbers that do not follow": (None, {}, StoreError, "has problems, which `fedgen-bench validate"),
    "a cell that came out otherwise": (
        lambda one: one.contender in {ROW, "fedgen_edge"},
        {"change": better},
        StoreError,
        "did not come out there as it was published",
    ),
    "nothing to hold the machine against": (
        lambda one: one.contender == ROW,
        {"change": moved},
        StoreError,
        "Nothing says that the machine",
    ),
    "a row that lacks a seed": (
        lambda one: one.contender == "fedgen_edge" or (one.contender == ROW and one.seed == 1),
        {},
        StoreError,
        "without seed 2",
    ),
    "nothing new": (lambda one: one.contender == "fedgen_edge", {}, UsageError, "holds no row that"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_refused_is_named_and_nothing_is_written(case, leaderboards, theirs, registry):
    keep, changed, error, said = CASES[case]
    if keep is None:
        body = json.loads((theirs / RESULTS).read_text())
        body["records"][0]["bytes"]["up"]["encoded"] += 1
        (theirs / RESULTS).write_text(json.dumps(body))
    else:
        shutil.rmtree(theirs)
        publish(theirs, registry, PUBLISHED, records(keep, changed.get("change", lambda one: one)))
    kind, text = refused(leaderboards, theirs, registry)
    assert kind is error
    assert said in text


def test_a_row_of_two_machines_is_refused(leaderboards, theirs, registry):
    shutil.rmtree(leaderboards)
    publish(leaderboards / NAME, registry, PUBLISHED, records(lambda one: one.contender != ROW or one.seed == 1))
    assert "a row is of one machine" in refused(leaderboards, theirs, registry)[1]


def test_another_configuration_under_a_published_name_is_refused(leaderboards, theirs, registry, monkeypatch):
    from fedgen_bench.review import merging

    shutil.rmtree(theirs)

    def tuned(record):
        if record.contender == ROW:
            return record
        contender = record.config.contender.model_copy(update={"learning_rate": 0.5})
        return replace(record, config=record.config.model_copy(update={"contender": contender}), digest="0" * 24)

    publish(theirs, registry, PUBLISHED, records(lambda one: one.contender in {ROW, "fedgen_edge"}, tuned))
    assert "has problems" in refused(leaderboards, theirs, registry)[1]
    monkeypatch.setattr(merging, "_check_valid", lambda *_: None)  # as if the suite did not say the rate
    kind, text = refused(leaderboards, theirs, registry)
    assert kind is StoreError
    assert "`contender.learning_rate` is 0.5" in text


def test_another_suite_is_refused(leaderboards, theirs, registry):
    shutil.copytree(PUBLISHED.parent / "ptb-epochs", theirs.parent / "other")
    assert "is not there to be added to" in refused(leaderboards, theirs.parent / "other", registry)[1]
    (theirs.parent / "other").rename(leaderboards / "ptb-epochs")
    shutil.rmtree(leaderboards / NAME)
    (leaderboards / "ptb-epochs").rename(leaderboards / NAME)
    assert "is of another suite" in refused(leaderboards, theirs, registry)[1]


def test_files_beside_the_results_are_asked_for(leaderboards, theirs, registry):
    (theirs / TIMING).unlink()
    (theirs / "SHA256SUMS").unlink()
    assert f"has no {TIMING}" in refused(leaderboards, theirs, registry)[1]


def test_merge_command_says_what_it_compared_and_added(leaderboards, theirs, monkeypatch):
    usual = commands.environ()
    monkeypatch.setattr(commands, "environ", lambda: usual | {"FEDGEN_BLOCK": "plots"})
    looked = here(leaderboards.parent, "merge", theirs.name, "--check")
    assert looked.returncode == 0, looked.stderr
    assert looked.stdout.splitlines()[-1] == f"Can be added to leaderboards/{NAME}: 1 row."
    done = here(leaderboards.parent, "merge", theirs.name)
    assert done.returncode == 0
    assert "cells reproduced: band tier" in done.stdout
    assert done.stdout.splitlines()[-1] == f"Added to leaderboards/{NAME}: 1 row."
    again = here(leaderboards.parent, "merge", theirs.name)
    assert again.returncode == 2
    assert "holds no row that is not published already" in again.stderr
    unknown = here(leaderboards.parent, "merge", theirs.name, "--contender", "prompt_tunin")
    assert "Unknown new contender `prompt_tunin`" in unknown.stderr
