"""`runs`: what the store holds is listed, and what leaves it leaves nothing behind."""

import json
import shutil

import pytest
from commands import here

from fedgen_bench.base.errors import StoreError, UsageError
from fedgen_bench.registry.datasets import Places
from fedgen_bench.results.store import Store
from fedgen_bench.run.executor import Job
from fedgen_bench.run.runner import run_cells
from fedgen_bench.session.stock import Stock
from fedgen_bench.suite.cells import expand


def run(root, registry, specs):
    with Store(root) as store:
        run_cells(specs, registry, Job(root, Places(), "cpu", ()), store, workers=1, on_event=lambda _: None)


@pytest.fixture(scope="module")
def made(tmp_path_factory, registry, toy_suite):
    """Two contenders under one seed, one of them again under another budget, which takes its place in tables."""
    root = tmp_path_factory.mktemp("stock") / "runs"
    run(root, registry, expand(toy_suite(), registry, contenders=["fedgen_edge", "local_only"], seeds=[1]))
    run(root, registry, expand(toy_suite("federation.rounds=1"), registry, contenders=["local_only"], seeds=[1]))
    return root


@pytest.fixture
def root(made, tmp_path):
    return shutil.copytree(made, tmp_path / "runs")


def shown(found):
    return [(one.contender, one.status, one.n_rounds, one.shown) for one in found]


def test_stock_lists_every_run_and_says_which_one_tables_show(root):
    found = Stock(root).runs()
    assert [(one.contender, one.status, one.shown) for one in found] == [
        ("fedgen_edge", "done", True),
        ("local_only", "done", False),
        ("local_only", "done", True),
    ]
    assert found[2].n_rounds == 1 < found[1].n_rounds
    assert found[0].size_bytes == sum(one.stat().st_size for one in (root / "cells" / found[0].identity).iterdir()) > 0


def test_stock_is_chosen_by_what_runs_are(root):
    stock = Stock(root)
    assert len(stock.runs("toy", contenders=["local_only"], seeds=[1], statuses=["done"])) == 2
    with pytest.raises(UsageError, match=r"Unknown stored contender `local_onyl`\. Did you mean `local_only`"):
        stock.runs(contenders=["local_onyl"])
    with pytest.raises(UsageError, match="stored status `failed`"):
        stock.runs(statuses=["failed"])


def test_removed_runs_leave_no_row_and_no_file_and_the_rest_as_it_was(root):
    stock = Stock(root)
    kept, *others = stock.runs()
    with Store(root, read_only=True) as store:
        before = store.runs("toy", 1)[0]
    stock.remove(others)
    assert stock.runs() == (kept,)
    assert [one.name for one in (root / "cells").iterdir()] == [kept.identity]
    with Store(root) as store:  # which counts its rows, and looks for rounds of no run
        assert store.runs("toy", 1) == [before]


def test_a_run_can_be_made_again_after_it_was_removed(root, registry, toy_suite):
    stock = Stock(root)
    stock.remove(stock.runs(contenders=["fedgen_edge"]))
    run(root, registry, expand(toy_suite(), registry, contenders=["fedgen_edge"], seeds=[1]))
    assert [one.status for one in stock.runs(contenders=["fedgen_edge"])] == ["done"]


def test_pruning_takes_what_no_table_shows_and_files_of_no_run(root):
    stock = Stock(root)
    stray = root / "cells" / "0" / "final.safetensors"
    stray.parent.mkdir()
    stray.write_bytes(b"0" * 1000)
    found = stock.superfluous()
    assert shown(found.runs) == [("local_only", "done", found.runs[0].n_rounds, False)]
    assert found.folders == (stray.parent,)
    assert found.size_bytes == 1000 + found.runs[0].size_bytes
    stock.remove(found.runs, found.folders)
    assert all(one.shown for one in stock.runs())
    assert not stray.parent.exists()
    assert stock.superfluous().runs == ()


def test_files_of_a_run_are_no_stray_ones(root):
    stock = Stock(root)
    own = root / "cells" / stock.runs()[0].identity
    stock.remove((), [own])
    assert own.is_dir()


def test_nothing_leaves_a_store_that_another_process_writes_to(root):
    stock = Stock(root)
    with Store(root), pytest.raises(StoreError, match="Another fedgen-bench"):
        stock.remove(stock.runs())
    assert len(stock.runs()) == 3


def test_runs_command_shows_status_time_and_size(root):
    done = here(root.parent, "runs")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0].split() == "suite version contender seed status rounds time size what else".split()
    assert lines[3].endswith("tables show a later run")
    assert "3 runs" in done.stderr
    listed = json.loads(here(root.parent, "runs", "--contender", "fedgen_edge", "--json").stdout)
    assert [(one["contender"], one["status"], one["reason"]) for one in listed] == [("fedgen_edge", "done", "")]


def test_runs_command_asks_before_it_removes(root):
    asked = here(root.parent, "runs", "--remove", "--contender", "local_only")
    assert (asked.returncode, len(Stock(root).runs())) == (2, 3)
    assert "2 runs" in asked.stderr
    assert "Add `--yes`" in asked.stderr
    assert here(root.parent, "runs", "--remove", "--contender", "local_only", "--yes").returncode == 0
    assert [one.contender for one in Stock(root).runs()] == ["fedgen_edge"]


def test_runs_command_prunes(root):
    assert here(root.parent, "runs", "--prune", "--yes").returncode == 0
    assert len(Stock(root).runs()) == 2
    again = here(root.parent, "runs", "--prune")
    assert (again.returncode, "nothing that a table" in again.stderr) == (0, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--remove", "--yes"], "needs to be told which runs"),
        (["--prune", "--suite", "toy", "--yes"], "chooses by itself"),
        (["--suite", "ptb"], "Unknown stored suite `ptb`"),
        (["--runs", "elsewhere"], "There is no results store in elsewhere"),
    ],
)
def test_runs_command_says_what_is_wrong_in_a_sentence(root, words, said):
    done = here(root.parent, "runs", *words)
    assert done.returncode in {1, 2}
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(Stock(root).runs()) == 3
