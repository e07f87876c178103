"""The Python page's examples, run as they stand, and what the frames hold against the database."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import fedgen_bench
from fedgen_bench.base.errors import StoreError, UsageError, WouldLoseError
from fedgen_bench.cli.main import cli
from fedgen_bench.results.table import COLUMNS
from fedgen_bench.session.session import Session
from fedgen_bench.testing import toy

PAGE = (Path(__file__).parents[2] / "docs" / "python-api.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """The toy suite, run from Python."""
    root = tmp_path_factory.mktemp("api")
    events = []
    results = fedgen_bench.run_suite(
        "toy",
        added=["fedprox", "fedprox:mu=0.5"],
        plugins=[toy.__file__],
        runs=root / "runs",
        leaderboards=root / "leaderboards",
        device="cpu",
        jobs=1,
        on_event=events.append,
    )
    return root, results, events


def test_examples_of_the_page_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    names = {"__name__": "page"}
    for block in blocks:
        exec(compile(block, "page", "exec"), names)
    assert list(names["curves"]["fedgen_edge"].dropna().index) == [1, 2, 3, 4, 5]
    assert list(names["curves"]["frozen"].dropna().index) == [0]
    assert list(names["own"]["contender"]) == ["fedgen_edge"] * 6  # the suite's personalized_clients
    assert names["up"]["fedgen_edge"] > 0
    assert Path("quality_vs_uplink.svg").read_text(encoding="utf-8").startswith("<?xml")


def test_run_suite_returns_the_leaderboard_that_it_wrote(stored):
    root, results, events = stored
    board = results.leaderboard
    assert tuple(board.columns) == results.table.columns
    assert set(COLUMNS) < set(board.columns)
    added = {"fedprox", "fedprox:mu=0.5"}
    assert set(board["contender"]) == {"fedgen_edge", "fedavg", "local_only", "centralized", *added}
    assert set(board["status"]) == {"done"}
    assert sum(event.kind == "ended" for event in events) == 12
    lines = (root / "leaderboards" / "toy" / "table.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 + len(board)


def test_configurations_of_added_contenders_are_made_again_from_their_names(stored, tmp_path):
    root, _, _ = stored

    def problems(folder):
        checked = fedgen_bench.validate(folder, plugins=[toy.__file__])
        return [one.text for one in checked.problems if "fedprox" in one.text]

    assert problems(root / "leaderboards" / "toy") == []
    changed = shutil.copytree(root / "leaderboards" / "toy", tmp_path / "toy")
    text = (changed / "results.json").read_text(encoding="utf-8")
    (changed / "results.json").write_text(text.replace('"mu": 0.5', '"mu": 0.25'), encoding="utf-8")
    assert any("`contender.strategy.params.mu` is 0.25, the suite has 0.5" in one for one in problems(changed))


def test_run_suite_again_skips_what_is_done(stored):
    root, results, _ = stored
    events = []
    again = fedgen_bench.run_suite(
        "toy",
        contenders=["fedavg"],
        plugins=[toy.__file__],
        runs=root / "runs",
        leaderboards=root / "leaderboards",
        on_event=events.append,
    )
    assert [event.kind for event in events] == ["skipped", "skipped"]
    assert again.leaderboard.equals(results.leaderboard)


def test_folder_with_results_that_the_store_lacks_stays_and_the_results_say_so(stored, tmp_path):
    root, results, _ = stored
    shutil.copytree(root / "leaderboards", tmp_path / "leaderboards")
    path = tmp_path / "leaderboards" / "toy" / "results.json"
    body = json.loads(path.read_text())
    body["records"][0]["metrics"]["test/toy_loss"] += 1e-9
    path.write_text(json.dumps(body))
    where = {"plugins": [toy.__file__], "runs": root / "runs", "leaderboards": tmp_path / "leaderboards"}
    plans = []
    kept = Session(**where).run("toy", contenders=["fedavg"], on_plan=plans.append)
    assert isinstance(kept.kept, WouldLoseError)
    assert not kept.reproduced
    assert kept.leaderboard.equals(results.leaderboard)
    assert kept.ended == ()
    assert [(len(one.cells), one.metric) for one in plans] == [(2, "toy_loss")]
    assert "It will stay as it is" in plans[0].notes[-1]
    with pytest.raises(WouldLoseError, match="stays as it is"):
        fedgen_bench.run_suite("toy", contenders=["fedavg"], **where)
    assert json.loads(path.read_text()) == body


@pytest.mark.parametrize(("off", "n_others"), [(1e-6, 0), (9.0, 1)])
def test_suite_that_was_published_on_another_processor_is_run_again_and_compared(stored, tmp_path, off, n_others):
    root, _, _ = stored
    shutil.copytree(root / "leaderboards", tmp_path / "leaderboards")
    path = tmp_path / "leaderboards" / "toy" / "results.json"
    body = json.loads(path.read_text())
    for record in body["records"]:
        record["environment"]["instruction_set"] = "another"
    own = [record for record in body["records"] if record["contender"] == "fedavg"]
    own[0]["metrics"]["test/toy_loss"] *= 1 + off
    path.write_text(json.dumps(body))
    where = {"plugins": [toy.__file__], "runs": root / "runs", "leaderboards": tmp_path / "leaderboards"}
    results = Session(**where).run("toy", contenders=["fedavg"])
    assert isinstance(results.kept, WouldLoseError)
    assert {cell.tier.name for cell in results.published} == {"band"}
    assert results.reproduced is (n_others == 0)
    words = ["run", "--suite", "toy", "--contender", "fedavg", "--plugin", toy.__file__]
    places = ["--runs", str(where["runs"]), "--leaderboards", str(where["leaderboards"])]
    done = CliRunner().invoke(cli, [*words, *places], standalone_mode=False)
    assert done.return_value == n_others
    n = len(results.published)
    assert f"{n - n_others} of {n} cells reproduced: band tier" in done.stderr
    assert ("is reproduced here" in done.stderr) is results.reproduced
    assert json.loads(path.read_text()) == body


def test_commands_that_train_nothing_new_or_little_have_their_functions(stored):
    root, results, _ = stored
    where = {"plugins": [toy.__file__], "leaderboards": root / "leaderboards"}
    tuning = fedgen_bench.tune("toy", contenders=["fedavg"], runs=root / "runs", device="cpu", jobs=1, **where)
    own = [one for one in tuning.trials if one.trial.contender == "fedavg"]
    assert {one.status for one in own} == {"done"}
    assert {one.status for one in tuning.trials if one not in own} == {"pending"}
    assert min(one.value for one in own) == next(one.value for one in own if one.chosen)
    assert tuning.path.read_text() == tuning.text
    again = fedgen_bench.leaderboard("toy", runs=root / "runs", **where)
    assert again.leaderboard.equals(results.leaderboard)
    verdicts = fedgen_bench.claims("toy", **where)
    assert verdicts.path.is_file()
    assert Session(**where).check_claims("toy") == ()
    verdicts.path.write_text("other")
    assert Session(**where).check_claims("toy") == ("claims.md",)
    found = fedgen_bench.compare("toy", "fedavg", "fedgen_edge", **where)
    assert found == fedgen_bench.compare("toy", "fedavg", "fedgen_edge", runs=root / "runs", plugins=where["plugins"])
    fedgen_bench.claims("toy", **where)
    assert fedgen_bench.validate(root / "leaderboards" / "toy", plugins=[toy.__file__]).problems == ()


def test_ledger_has_every_message_of_the_database(stored):
    root, results, _ = stored
    with contextlib.closing(sqlite3.connect(root / "runs" / "fedgen.sqlite")) as db:
        own = "run IN (SELECT identity FROM runs WHERE purpose = 'leaderboard')"  # trials lie beside them
        expected = db.execute(f"SELECT count(*), sum(encoded_bytes) FROM ledger WHERE {own}").fetchone()
    assert (len(results.ledger), results.ledger["encoded_bytes"].sum()) == expected


def test_rounds_carry_the_uplink_so_far(stored):
    _, results, _ = stored
    mine = results.rounds.query("contender == 'fedavg' and seed == 1")
    sent = results.ledger.query("contender == 'fedavg' and seed == 1 and direction == 'up'")
    by_round = sent.groupby("round_index")["encoded_bytes"].sum().cumsum()
    assert list(mine["n_rounds"]) == [1, 2, 3, 4]
    assert list(mine["uplink_bytes"]) == list(by_round)


def test_clients_spread_is_the_tables(stored):
    _, results, _ = stored
    own = results.clients.query("contender == 'fedgen_edge' and model == 'personalized'")
    by_seed = own.groupby("seed")["toy_loss"].mean()
    (row,) = results.leaderboard.query("contender == 'fedgen_edge'").to_dict("records")
    assert by_seed.mean() == pytest.approx(row["personalized_mean"])


def test_published_results_give_the_same_frames(stored):
    root, results, _ = stored
    published = fedgen_bench.load_results(root / "leaderboards" / "toy", plugins=[toy.__file__])
    for frame in ("leaderboard", "rounds", "clients", "ledger"):
        ours, theirs = (
            getattr(one, frame).sort_values(["contender", *(["seed"] if frame != "leaderboard" else [])])
            for one in (results, published)
        )
        assert ours.reset_index(drop=True).equals(theirs.reset_index(drop=True)), frame


def test_ledger_of_a_folder_published_without_one_says_where_it_is(stored, tmp_path):
    root, _, _ = stored
    folder = shutil.copytree(root / "leaderboards" / "toy", tmp_path / "toy")
    (folder / "ledger.parquet").unlink()
    with pytest.raises(UsageError, match="without a ledger"):
        _ = fedgen_bench.load_results(folder, plugins=[toy.__file__]).ledger


def test_load_results_that_are_not_there_says_what_to_do(tmp_path):
    with pytest.raises(UsageError, match="name its suite"):
        fedgen_bench.load_results(tmp_path)
    with pytest.raises(StoreError, match="There is no results store"):
        fedgen_bench.load_results(tmp_path, "quick")


def test_unknown_plot_names_the_closest(stored):
    with pytest.raises(UsageError, match="Did you mean `convergence`"):
        stored[1].plot("convergense")


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, fedgen_bench; print(sorted({'torch', 'pandas', 'numpy', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
