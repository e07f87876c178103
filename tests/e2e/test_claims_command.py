"""`fedgen-bench claims` and `fedgen-bench validate` on the toy suite with an ablation of it."""

from __future__ import annotations

import json

import pytest
from commands import here as run

from fedgen_bench.testing import toy

SWEPT = '''
from fedgen_bench import SuiteSource, hookimpl
from fedgen_bench.testing import toy

SWEEP = """
[sweep]
of = "toy"
axis = "epochs"
contenders = ["fedgen_edge", "fedavg"]
[[sweep.point]]
value = 1
set = { "training.local_steps" = 1 }
[[sweep.point]]
value = 4
set = { "training.local_steps" = 4 }
"""


@hookimpl
def register_suites():
    text = toy.SUITE.replace('name = "toy"', 'name = "toy-epochs"', 1) + SWEEP
    return [SuiteSource(name="toy-epochs", text=text, path="toy-epochs.toml")]
'''


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A folder with both suites published, and how its commands are called."""
    root = tmp_path_factory.mktemp("claims")
    (root / "swept.py").write_text(SWEPT)
    plugins = ("--plugin", toy.__file__, "--plugin", "swept.py")
    for suite in ("toy", "toy-epochs"):
        done = run(root, "run", "--suite", suite, *plugins, "--device", "cpu", "--jobs", "1")
        assert done.returncode == 0, done.stderr
    return root, plugins


def test_claims_are_written_checked_and_told_apart_from_edited_ones(published):
    root, plugins = published
    done = run(root, "claims", "--suite", "toy", *plugins)
    assert done.returncode == 0, done.stderr
    page = (root / "leaderboards" / "toy" / "claims.md").read_text()
    assert "Suite `toy-epochs`, 2 seeds" in page
    assert run(root, "claims", "--suite", "toy", *plugins, "--check").returncode == 0
    assert run(root, "leaderboard", "--suite", "toy", *plugins, "--check").returncode == 0
    assert run(root, "validate", "leaderboards/toy", *plugins).returncode == 0
    data = root / "leaderboards" / "toy" / "claims" / "drift_by_epochs.csv"
    data.write_text(data.read_text().replace("fedavg", "fedavh"))
    done = run(root, "claims", "--suite", "toy", *plugins, "--check")
    assert done.returncode == 1
    assert "drift_by_epochs.csv is not what the published results give" in done.stderr
    stale = [data.with_name(f"of_an_older_claim.{kind}") for kind in ("csv", "svg")]
    for one in stale:
        one.touch()
    done = run(root, "claims", "--suite", "toy", *plugins, "--check")
    assert "of_an_older_claim.svg is not what the published results give" in done.stderr
    assert run(root, "claims", "--suite", "toy", *plugins).returncode == 0
    assert not any(one.exists() for one in stale)
    assert run(root, "claims", "--suite", "toy", *plugins, "--check").returncode == 0


def test_swept_folder_validates_and_is_reproduced(published):
    root, plugins = published
    done = run(root, "validate", "leaderboards/toy-epochs", *plugins)
    assert (done.returncode, "0 problems" in done.stdout) == (0, True), done.stdout
    done = run(
        root,
        "reproduce",
        "leaderboards/toy-epochs",
        *plugins,
        "--contender",
        "fedavg",
        "--device",
        "cpu",
        "--jobs",
        "1",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 of 4 cells reproduced: exact tier" in done.stdout


def test_claims_of_another_suites_results_are_refused(published, tmp_path):
    root, plugins = published
    mixed = tmp_path / "leaderboards" / "toy"
    mixed.mkdir(parents=True)
    body = (root / "leaderboards" / "toy-epochs" / "results.json").read_text()
    (mixed / "results.json").write_text(body)
    done = run(root, "claims", "--suite", "toy", *plugins, "--leaderboards", str(tmp_path / "leaderboards"))
    assert done.returncode == 1
    assert "holds results of suite `toy-epochs`" in done.stderr
    assert [path.name for path in mixed.iterdir()] == ["results.json"]


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "holds no results.json"), ("{", "is no JSON"), (json.dumps({"schema": 2}), "Upgrade fedgen-bench")],
)
def test_claims_without_usable_results_say_what_to_do(published, tmp_path, content, message):
    root, plugins = published
    folder = tmp_path / "toy"
    folder.mkdir()
    if content is not None:
        (folder / "results.json").write_text(content)
    done = run(root, "claims", "--suite", "toy", *plugins, "--leaderboards", str(tmp_path))
    assert done.returncode != 0
    assert message in done.stderr
