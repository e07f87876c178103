"""`fedgen-bench reproduce` on a published toy folder, sound and broken."""

from __future__ import annotations

import json
import shutil

import pytest
from commands import here, run

from fedgen_bench.results.manifest import write_manifest
from fedgen_bench.testing import toy

TOY = ("--plugin", toy.__file__)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder in which one contender of the toy suite was run and published."""
    root = tmp_path_factory.mktemp("reproduce")
    done = here(root, "run", "--suite", "toy", *TOY, "--contender", "fedavg", "--device", "cpu", "--jobs", "1")
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def folder(root, tmp_path):
    """A copy of the published folder, to break."""
    return shutil.copytree(root / "leaderboards" / "toy", tmp_path / "toy")


def reproduce(folder, *arguments, call=here):
    return call(folder.parent, "reproduce", "toy", *arguments)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def edit(folder, change):
    path = folder / "results.json"
    body = json.loads(path.read_text())
    change(body)
    path.write_text(json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    write_manifest(folder)


def test_reproduce_repeats_a_published_folder_to_the_bit_and_names_an_edited_metric(folder):
    before = files(folder)
    done = reproduce(folder, *TOY, "--device", "cpu", "--jobs", "1", call=run)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 2 cells reproduced: exact tier (same fingerprint)." in done.stdout
    assert files(folder) == before
    out = folder.parent / "reproduction" / "toy"
    assert {path.name for path in out.iterdir()} == {"reproduction.json", "store"}
    first = (out / "reproduction.json").read_bytes()
    body = json.loads(first)
    assert body["reproduced"] is True
    assert {one["verdict"] for cell in body["cells"] for one in cell["values"]} == {"equal"}
    assert len(body["cells"][0]["values"]) > 20

    again = reproduce(folder, *TOY, "--device", "cpu")
    assert again.stderr.count("done already") == 2
    assert (again.returncode, (out / "reproduction.json").read_bytes()) == (0, first)

    def nudge(body):
        body["records"][1]["metrics"]["valid/toy_loss"] += 1e-9

    edit(folder, nudge)
    bad = reproduce(folder, *TOY, "--device", "cpu")
    assert bad.returncode == 1
    assert [line.split()[:2] for line in bad.stdout.splitlines() if line.endswith("differs")] == [
        ["fedavg/2", "valid/toy_loss"]
    ]
    assert "1 of 2 cells reproduced" in bad.stdout
    assert json.loads((out / "reproduction.json").read_text())["reproduced"] is False


def truncate(folder):
    path = folder / "results.json"
    path.write_bytes(path.read_bytes()[:5000])


def drop_key(folder):
    edit(folder, lambda body: body["records"][0].pop("metrics"))


def edit_rate(folder):
    edit(folder, lambda body: body["records"][0]["config"]["contender"].update(learning_rate=9.0))


def newer(folder):
    edit(folder, lambda body: body.update(schema=2))


def empty(folder):
    for path in folder.iterdir():
        path.unlink()


def edit_table(folder):
    (folder / "table.csv").write_text("fedavg wins\n")


@pytest.mark.parametrize(
    ("spoil", "options", "code", "text"),
    [
        (truncate, TOY, 1, "results.json is no JSON, or was cut off"),
        (drop_key, TOY, 1, "results.json, fedavg/1: `metrics` is missing. Publish the folder again"),
        (edit_rate, TOY, 1, "The configuration of fedavg/1 is not what its digest"),
        (edit_table, TOY, 1, "table.csv in toy differ from SHA256SUMS: edited or truncated."),
        (newer, TOY, 1, "results.json has schema 2, this version knows 1. Upgrade fedgen-bench to check it."),
        (empty, TOY, 2, "toy holds no results.json. Name a published folder"),
        (None, (*TOY, "--contender", "fedavgg"), 2, "Unknown finished contender `fedavgg`. Did you mean `fedavg`?"),
        (None, (), 1, "task `toy` is not installed. It was in the file toy.py: give that with `--plugin FILE`."),
        (None, (*TOY, "--out", "toy/again"), 2, "toy/again is inside the published folder."),
    ],
    ids=lambda one: getattr(one, "__name__", None),
)
def test_reproduce_names_what_is_wrong_and_writes_nothing(spoil, options, code, text, folder):
    if spoil is not None:
        spoil(folder)
    before = files(folder)
    done = reproduce(folder, *options)
    assert (done.returncode, done.stdout) == (code, "")
    assert text in done.stderr
    assert "Traceback" not in done.stderr
    assert files(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["toy"]
