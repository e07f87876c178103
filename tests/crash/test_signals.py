"""Real processes: interrupts, dying workers and coordinators, two coordinators, and cells that go wrong."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
from pathlib import Path

import crash_driver
import pytest
from commands import SCRIPT, here

from fedgen_bench.testing import toy

METHODS = '''
import os, time
from pathlib import Path
from fedgen_bench import Fit, NoParams, Payload, StrategySpec, SuiteSource, Update, hookimpl, weighted_mean

class Slow:
    """FedAvg that stands still after a round for as long as a file is there."""
    def __init__(self, params): self.params = params
    def init(self, start, ctx): return start
    def send(self, state, ctx): return Payload(state)
    def client(self, payload, ctx):
        fit = yield Fit(start=payload.tensors)
        while ctx.round_index > 0 and Path(os.environ.get("TEST_HOLD", "nowhere")).exists(): time.sleep(0.01)
        return Update(fit.tensors, fit.n_examples, keep=fit.tensors)
    def aggregate(self, state, updates, ctx): return weighted_mean(updates)
    def export(self, state, ctx): return ctx.keep if ctx is not None and ctx.keep else state

class Raising(Slow):
    """Breaks in its second round."""
    def aggregate(self, state, updates, ctx):
        if ctx.round_index == 1:
            raise ZeroDivisionError("no | such = luck")
        return weighted_mean(updates)

@hookimpl
def register_strategies():
    return [StrategySpec(name=NAME, summary="For tests.", build={"slow": Slow, "raising": Raising}[NAME])]

@hookimpl
def register_suites():
    return [SuiteSource(name=SUITE, text=TEXT, path="slow.py")]
'''
CONTENDER = """
[[contender]]
name = "{}"
strategy = {{ name = "{}" }}
adapter = {{ name = "full" }}
learning_rate = {}
"""


def suite_text(name: str, *contenders: tuple[str, str, float]) -> str:
    head = toy.SUITE[: toy.SUITE.index("[[contender]]")].replace('"toy"\nversion', f'"{name}"\nversion')
    head = head.replace('reference = "fedgen_edge"', f'reference = "{contenders[0][0]}"')
    head = head.replace('full_model = "fedavg"', f'full_model = "{contenders[0][0]}"')
    return head + "".join(CONTENDER.format(*one) for one in contenders)


@pytest.fixture(scope="module")
def plugins(tmp_path_factory):
    """A plugin file a suite; a file's strategy joins every suite that does not name it."""
    folder = tmp_path_factory.mktemp("plugins")
    texts = {
        "slow": ("slow", suite_text("slow", ("one", "slow", 0.1), ("two", "slow", 0.2))),
        "rough": ("raising", suite_text("rough", ("good", "fedavg", 0.1), ("nan", "fedavg", 1e4))),
    }
    for suite, (name, text) in texts.items():
        head = f"NAME, SUITE = {name!r}, {suite!r}\nTEXT = {text!r}\n"
        (folder / f"{suite}.py").write_text(head + METHODS, encoding="utf-8")
    return folder


def _listen_to_interrupts() -> None:
    """A shell's background job ignores SIGINT, and so would the processes that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def command(plugins: Path, suite: str, *arguments: str) -> list[str]:
    files = ["--plugin", toy.__file__, "--plugin", str(plugins / f"{suite}.py")]
    return ["run", "--suite", suite, "--device", "cpu", *files, *arguments]


@pytest.fixture
def hold(tmp_path_factory):
    """A file: while it is there, no cell of suite `slow` gets beyond its first round."""
    file = tmp_path_factory.mktemp("hold") / "on"
    file.touch()
    return file


@pytest.fixture
def fedgen(plugins, tmp_path, hold):
    """Starts `fedgen-bench run` in an empty folder; whatever is still there at the end is ended."""
    started = []

    def start(*arguments: str, suite: str = "slow") -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [SCRIPT, *command(plugins, suite, *arguments)],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"TEST_HOLD": str(hold)},
            preexec_fn=_listen_to_interrupts,  # noqa: PLW1509 - this process has no threads that hold locks
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def n_committed(root: Path) -> int:
    path = root / "runs" / "fedgen.sqlite"
    if not path.exists():
        return 0
    with contextlib.closing(sqlite3.connect(path)) as db:
        try:
            return db.execute("SELECT count(*) FROM rounds").fetchone()[0]
        except sqlite3.OperationalError:  # not yet made
            return 0


def running_cells(root: Path) -> int:
    with contextlib.closing(sqlite3.connect(root / "runs" / "fedgen.sqlite")) as db:
        return db.execute("SELECT count(*) FROM runs WHERE status = 'running'").fetchone()[0]


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """Children of the nursery, which is a child (multiprocessing's resource tracker is another)."""
    nurseries = [pid for pid in _children(process.pid) if b"spawn_main" in _command_of(pid)]
    return [int(child) for pid in nurseries for child in _children(pid)]


def _children(pid: int | str) -> list[str]:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return []


def _command_of(pid: str) -> bytes:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just been reaped
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def published(root: Path) -> dict[str, object]:
    """Everything published of suite `slow` but where and when it was made."""
    folder = root / "leaderboards" / "slow"
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    for record in results["records"]:
        del record["environment"], record["provenance"]["engine"]
    found: dict[str, object] = {name: (folder / name).read_bytes() for name in crash_driver.COMPARED}
    cells = {path.name + path.parent.name: path.read_bytes() for path in (root / "runs" / "cells").rglob("*.*")}
    return found | cells | {"results.json": results}


@pytest.fixture(scope="module")
def slow_untouched(plugins, tmp_path_factory):
    root = tmp_path_factory.mktemp("untouched")
    done = here(root, *command(plugins, "slow", "--jobs", "1"))
    assert done.returncode == 0, done.stderr
    return published(root)


def assert_resumes(plugins: Path, root: Path, reference: dict[str, object]) -> None:
    done = here(root, *command(plugins, "slow", "--jobs", "1"))
    assert done.returncode == 0, done.stderr
    assert n_committed(root) == 4 * 4
    assert published(root) == reference
    assert not list(root.rglob("*.tmp"))


def held(root: Path, n_cells: int) -> None:
    """Wait until the first round of so many cells is committed; no second one is."""
    crash_driver.wait_until(lambda: n_committed(root) >= n_cells)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("jobs", "engine", "n_workers"), [("1", "local", 0), ("2", "local", 2), ("2", "processes", 2)])
def test_run_interrupted_says_how_to_resume_and_leaves_no_process(
    number, jobs, engine, n_workers, fedgen, plugins, tmp_path, slow_untouched
):
    process = fedgen("--jobs", jobs, "--engine", engine)
    held(tmp_path, 1)
    pids = workers_of(process)
    assert len(pids) == n_workers
    process.send_signal(number)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert out == ""
    assert err.splitlines()[-1] == "Interrupted. Committed rounds are kept: the same command resumes."
    assert "Traceback" not in err
    assert not any(map(is_alive, pids))
    assert n_committed(tmp_path) > 0
    assert_resumes(plugins, tmp_path, slow_untouched)


@pytest.mark.parametrize("engine", ["local", "processes"])
def test_run_killed_takes_its_workers_along_and_resumes(engine, fedgen, plugins, tmp_path, slow_untouched):
    process = fedgen("--jobs", "2", "--engine", engine)
    held(tmp_path, 1)
    pids = workers_of(process)
    assert len(pids) == 2
    process.kill()
    process.communicate()
    crash_driver.wait_until(lambda: not any(map(is_alive, pids)))
    assert n_committed(tmp_path) > 0
    assert_resumes(plugins, tmp_path, slow_untouched)


def test_run_with_a_killed_worker_goes_on_and_names_the_cell_and_resumes(fedgen, hold, tmp_path, slow_untouched):
    process = fedgen("--jobs", "2")
    held(tmp_path, 2)
    os.kill(workers_of(process)[0], signal.SIGKILL)
    hold.unlink()
    out, err = process.communicate()
    assert process.returncode == 1
    assert running_cells(tmp_path) == 1
    assert "crashed: The worker process died (signal 9). Run the same command again to resume." in err
    assert "Traceback" not in err
    assert "incomplete" in out
    again = fedgen("--jobs", "2")
    _, err = again.communicate()
    assert again.returncode == 0, err
    assert n_committed(tmp_path) == 4 * 4
    assert published(tmp_path) == slow_untouched


def test_run_with_killed_workers_of_an_engine_ends_as_if_nothing_had_happened(fedgen, hold, tmp_path, slow_untouched):
    process = fedgen("--jobs", "2", "--engine", "processes")
    held(tmp_path, 1)
    first = workers_of(process)
    for pid in first:
        os.kill(pid, signal.SIGKILL)
    crash_driver.wait_until(lambda: len(set(workers_of(process)) - set(first)) == 2)
    for pid in set(workers_of(process)) - set(first):
        os.kill(pid, signal.SIGKILL)
    hold.unlink()
    _, err = process.communicate()
    assert process.returncode == 0, err
    assert published(tmp_path) == slow_untouched


def test_run_with_every_worker_killed_is_a_clear_error(fedgen, tmp_path):
    process = fedgen("--jobs", "2")
    held(tmp_path, 2)
    for pid in workers_of(process):
        os.kill(pid, signal.SIGKILL)
    out, err = process.communicate()
    assert (process.returncode, out) == (1, "")
    assert "Error: Every worker process died. Run the same command again; finished cells are kept." in err
    assert "Traceback" not in err


def test_run_twice_on_one_store_second_is_refused_and_first_ends(fedgen, hold, plugins, tmp_path, slow_untouched):
    first = fedgen("--jobs", "1")
    held(tmp_path, 1)
    second = here(tmp_path, *command(plugins, "slow", "--jobs", "1"))
    assert (second.returncode, second.stdout) == (1, "")
    assert second.stderr == (
        "Error: Another fedgen-bench is writing to runs. Wait for it, or use another folder with `--runs`.\n"
    )
    assert first.poll() is None
    hold.unlink()
    first.communicate()
    assert first.returncode == 0
    assert published(tmp_path) == slow_untouched


def test_run_with_cells_that_go_wrong_shows_them_and_goes_on(fedgen, hold, tmp_path):
    hold.unlink()
    process = fedgen("--jobs", "1", suite="rough")
    out, err = process.communicate()
    assert process.returncode == 1
    rows = {line.split()[1]: line.split() for line in out.splitlines()[3:]}
    assert {name: (row[0], row[-1]) for name, row in rows.items()} == {
        "good": ("1", "done"),
        "nan": ("-", "diverged"),
        "raising": ("-", "failed"),
    }
    table = json.loads((tmp_path / "leaderboards" / "rough" / "results.json").read_text(encoding="utf-8"))
    reasons = {(one["contender"], one["seed"]): one["reason"] for one in table["records"]}
    for seed in (1, 2):
        assert reasons["good", seed] == ""
        assert reasons["nan", seed].startswith("Round 2: Loss of client ")
        assert reasons["raising", seed].startswith("ZeroDivisionError: no | such = luck (rough.py:")
        assert f"rough/raising/{seed}: failed: {reasons['raising', seed]}" in err
    assert "no \\| such = luck" in (tmp_path / "leaderboards" / "rough" / "table.md").read_text(encoding="utf-8")
    assert "Traceback" not in err
    again = fedgen("--jobs", "1", suite="rough")
    _, err = again.communicate()
    assert again.returncode == 1  # a failed cell is tried again, a diverged one is finished
    assert [line for line in err.splitlines() if "diverged already" in line]
    assert err.count("rough/raising/1: failed") == 2
