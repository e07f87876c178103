"""A published folder is replaced as a whole, and never by less than it holds."""

import json
import multiprocessing
import os
import shutil
import signal

import pytest
from click.testing import CliRunner

from fedgen_bench.base.errors import StoreError, UsageError, WouldLoseError
from fedgen_bench.cli.main import cli
from fedgen_bench.registry.datasets import Places
from fedgen_bench.results.folders import mend, write_together
from fedgen_bench.results.manifest import differences
from fedgen_bench.results.publish import publish
from fedgen_bench.results.published import open_folder
from fedgen_bench.results.store import Store
from fedgen_bench.run.executor import Job
from fedgen_bench.run.runner import run_cells
from fedgen_bench.suite.cells import expand
from fedgen_bench.testing import toy

POINTS = ("file.written", "file.synced", "file.renamed", "folder.written", "folder.parked", "folder.placed")
OLD = {"results.json": b"old", "table.md": b"old", "gone.png": b"old"}
NEW = {"results.json": b"new", "table.md": b"new", "gone.png": None}
BOTH = ["SHA256SUMS", "results.json", "table.md"]


@pytest.fixture
def folder(tmp_path):
    found = tmp_path / "suite"
    write_together(found, OLD)
    (found / "claims").mkdir()
    (found / "claims" / "mine.csv").write_text("mine")
    (found / ".notes").write_text("mine")
    (found / "link").symlink_to("table.md")
    return found


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_files_of_others_stay_and_what_has_no_content_goes(folder):
    write_together(folder, NEW)
    assert files(folder) == [".notes", "SHA256SUMS", "claims/mine.csv", "link", "results.json", "table.md"]
    assert (folder / "link").is_symlink()
    assert (folder / "table.md").read_bytes() == b"new"
    assert differences(folder) == []
    assert sorted(path.name for path in folder.parent.iterdir()) == [".lock", "suite"]


def _killed(folder, point):
    os.environ["FEDGEN_KILL"] = point
    write_together(folder, NEW)


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("mending", [mend, lambda folder: write_together(folder, NEW)])
def test_a_kill_at_any_point_leaves_the_old_folder_or_the_new_one_whole(folder, point, mending):
    child = multiprocessing.get_context("fork").Process(target=_killed, args=(folder, point))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    if folder.exists():
        assert {(folder / name).read_bytes() for name in ("results.json", "table.md")} in ({b"old"}, {b"new"})
    mending(folder)
    assert (folder / "claims" / "mine.csv").read_text() == "mine"
    content = {(folder / name).read_bytes() for name in ("results.json", "table.md")}
    assert content == {b"new"} if point in POINTS[4:] else content in ({b"old"}, {b"new"})
    assert (folder / "gone.png").exists() == (content == {b"old"})
    write_together(folder, NEW)
    assert sorted(path.name for path in folder.parent.iterdir()) == [".lock", "suite"]
    assert differences(folder) == []


def test_a_disk_that_fails_leaves_the_old_folder(folder, monkeypatch):
    monkeypatch.setattr(
        "fedgen_bench.results.folders.write_manifest", lambda _: (_ for _ in ()).throw(OSError(28, "full"))
    )
    before = files(folder)
    with pytest.raises(StoreError, match="No space left"):
        write_together(folder, NEW)
    assert files(folder) == before
    assert (folder / "table.md").read_bytes() == b"old"
    assert sorted(path.name for path in folder.parent.iterdir()) == [".lock", "suite"]


@pytest.fixture(scope="module")
def ran(registry, toy_suite, tmp_path_factory):
    """Folder of a store with all of the toy suite, and of one with a single cell."""
    root = tmp_path_factory.mktemp("ran")
    suite = toy_suite()
    for name, contenders in (("all", ()), ("part", ("frozen", "fedavg"))):
        with Store(root / name) as store:
            cells = [one for one in expand(suite, registry) if not contenders or one.contender in contenders]
            job = Job(root / name, Places(), "cpu", registry.plugin_files)
            run_cells(cells, registry, job, store, workers=1, on_event=lambda _: None)
    return root


@pytest.fixture
def boards(ran, registry, toy_suite, tmp_path):
    with Store(ran / "all") as store:
        publish(registry.get("suite", "toy").spec, toy_suite(), registry, store, tmp_path)
    return tmp_path


def kept(boards):
    return {path.name: path.read_bytes() for path in (boards / "toy").iterdir() if path.is_file()}


def call(command, *words):
    return CliRunner().invoke(cli, [command, "--suite", "toy", "--plugin", toy.__file__, *map(str, words)])


def test_a_store_with_less_does_not_replace_a_published_folder(ran, boards):
    before = kept(boards)
    done = call("leaderboard", "--runs", ran / "part", "--leaderboards", boards)
    assert isinstance(done.exception, WouldLoseError)
    assert "stays as it is" in str(done.exception)
    assert "--replace" in str(done.exception)
    assert kept(boards) == before
    done = call("leaderboard", "--runs", ran / "part", "--leaderboards", boards, "--replace")
    assert done.exception is None
    assert {one.contender for one in open_folder(boards / "toy").records} == {"fedavg"}


def test_results_of_another_store_are_not_replaced_by_other_numbers(ran, boards):
    path = boards / "toy" / "results.json"
    body = json.loads(path.read_text())
    body["records"][0]["metrics"]["test/toy_loss"] += 1e-9
    path.write_text(json.dumps(body))
    done = call("leaderboard", "--runs", ran / "all", "--leaderboards", boards)
    assert "it holds 1 results (" in str(done.exception)


def test_equal_results_of_another_store_are_replaced(ran, boards, tmp_path):
    shutil.copytree(ran / "all", tmp_path / "copy")
    before = kept(boards)
    assert call("leaderboard", "--runs", tmp_path / "copy", "--leaderboards", boards).exception is None
    assert kept(boards) == before


def test_a_store_without_a_run_of_the_suite_publishes_nothing(boards, tmp_path):
    before = kept(boards)
    Store(tmp_path / "empty").close()
    for words in ((), ("--replace",)):
        done = call("leaderboard", "--runs", tmp_path / "empty", "--leaderboards", boards, *words)
        assert isinstance(done.exception, UsageError)
        assert "no finished run of suite `toy`" in str(done.exception)
    assert kept(boards) == before


def test_a_run_of_a_part_is_finished_and_says_how_to_publish_it(boards, tmp_path):
    before = kept(boards)
    words = ("--runs", tmp_path / "fresh", "--leaderboards", boards, "--contender", "fedavg", "--device", "cpu")
    done = CliRunner().invoke(
        cli, ["run", "--suite", "toy", "--plugin", toy.__file__, *map(str, words)], standalone_mode=False
    )
    assert done.return_value == 1
    assert "Warning: " in done.stderr
    assert f"Results are in {tmp_path / 'fresh'}." in done.stderr
    assert "`fedgen-bench leaderboard --suite toy --replace`" in done.stderr
    assert "fedavg" in done.stdout
    assert kept(boards) == before
