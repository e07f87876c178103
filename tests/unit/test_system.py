"""What other systems lack, taken away: macOS trains, Windows says in one sentence that it does not, and reviews."""

from __future__ import annotations

import ast
import os
import select
import signal
import stat
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from fedgen_bench.base import files, locks, system
from fedgen_bench.base.devices import default_jobs
from fedgen_bench.base.errors import UsageError
from fedgen_bench.base.processes import serve_only
from fedgen_bench.results.folders import write_together
from fedgen_bench.session import workplace
from fedgen_bench.session.session import Session

SOURCES = Path(files.__file__).parents[2]
UNIX_ALONE = {"fcntl", "grp", "pty", "pwd", "resource", "termios"}


@pytest.fixture
def on(monkeypatch):
    """The modules that ask for the system are told another one."""

    def say(platform):
        for module in (system, files):
            monkeypatch.setattr(module, "sys", SimpleNamespace(platform=platform))

    return say


def gone(*_args, **_kwargs):
    raise AssertionError("this is not there")


def imported_at_once(path):
    """Modules that a file imports when it is imported itself."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def test_no_module_needs_what_windows_lacks_to_be_imported():
    packages = ("fedgen_bench", "plugins", "baselines")
    paths = [path for one in packages for path in (SOURCES / one).rglob("*.py") if "{" not in path.name]
    assert len(paths) > 200
    assert [path.name for path in paths if UNIX_ALONE & set(imported_at_once(path))] == []


def test_cores_are_counted_where_the_system_does_not_say_which_are_ours(monkeypatch):
    monkeypatch.delattr("os.sched_getaffinity")
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert default_jobs(3, "cpu") == 2


def test_memory_has_the_unit_of_its_system(on, monkeypatch):
    usage = SimpleNamespace(RUSAGE_SELF=0, getrusage=lambda _: SimpleNamespace(ru_maxrss=5000))
    monkeypatch.setitem(sys.modules, "resource", usage)
    assert system.peak_bytes() == 5000 * 1024
    on("darwin")
    assert system.peak_bytes() == 5000
    monkeypatch.setitem(sys.modules, "resource", None)
    assert system.peak_bytes() == 0


def test_macos_looks_whether_the_parent_is_there(on, monkeypatch):
    on("darwin")
    monkeypatch.setattr("ctypes.CDLL", gone)
    parents, slept, left = iter([7, 7, 1]), [], []
    monkeypatch.setattr("os.getppid", lambda: next(parents))
    monkeypatch.setattr("time.sleep", slept.append)
    monkeypatch.setattr("os._exit", left.append)
    system._watch(7)
    assert (len(slept), left) == (2, [1])


def test_macos_workers_begin_to_look(on, monkeypatch):
    on("darwin")
    monkeypatch.setattr("ctypes.CDLL", gone)
    begun = []
    monkeypatch.setattr("threading.Thread", lambda **given: SimpleNamespace(start=lambda: begun.append(given)))
    before = signal.getsignal(signal.SIGINT)
    try:
        assert serve_only(os.getppid())
    finally:
        signal.signal(signal.SIGINT, before)
    assert [(one["args"], one["daemon"]) for one in begun] == [((os.getppid(),), True)]


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_a_process_ends_with_its_parent(platform, on, monkeypatch):
    on(platform)
    monkeypatch.setattr(system, "_LOOK_SECONDS", 0.01)
    ours, theirs = os.pipe()
    parent = os.fork()
    if not parent:
        begun, begin = os.pipe()
        child = os.fork()
        if not child:
            system.end_with(os.getppid())
            os.write(begin, b".")
            time.sleep(60)
        os.read(begun, 1)
        os.write(theirs, child.to_bytes(4, "big"))
        os._exit(0)
    os.close(theirs)
    os.waitpid(parent, 0)
    child = int.from_bytes(os.read(ours, 4), "big")
    try:
        assert select.select([ours], [], [], 30)[0]
        assert os.read(ours, 1) == b""  # nobody has the other end any more
    finally:
        os.close(ours)
        if Path(f"/proc/{child}").exists():
            os.kill(child, signal.SIGKILL)


def test_nothing_is_forked_on_macos(monkeypatch):
    monkeypatch.setattr(workplace, "nursery", gone)
    monkeypatch.setattr(workplace, "forks", lambda: False)
    monkeypatch.setattr(workplace.Workplace, "device", "cpu")
    at = Session(jobs=2, device="cpu")._workplace
    cell = SimpleNamespace(config=SimpleNamespace(training=SimpleNamespace(threads=1)))
    with at.warmed([cell, cell]) as place:
        assert place.n_cells == 2


@pytest.mark.parametrize("command", ["run", "profile"])
def test_windows_trains_nothing_and_says_so(command, on, tmp_path):
    on("win32")
    session = Session(runs=tmp_path / "runs", leaderboards=tmp_path / "boards")
    with pytest.raises(UsageError, match="Nothing is trained on Windows itself"):
        getattr(session, command)("quick")
    assert list(tmp_path.iterdir()) == []


def test_windows_opens_no_folder_to_hold_it(on, tmp_path, monkeypatch):
    on("win32")
    held = []
    monkeypatch.setattr("os.fsync", lambda descriptor: held.append(os.fstat(descriptor).st_mode))
    write_together(tmp_path / "suite", {"table.md": b"x", "claims/a.csv": b"y"})
    assert (tmp_path / "suite" / "claims" / "a.csv").read_bytes() == b"y"
    assert held
    assert not any(map(stat.S_ISDIR, held))


def test_a_lock_is_for_one_at_a_time_and_goes_with_its_process(tmp_path):
    path = tmp_path / "lock"
    begun, begin = os.pipe()
    child = os.fork()
    if not child:
        lock = locks.taken(path)
        os.write(begin, b"." if lock.is_locked else b"?")
        time.sleep(60)
    assert os.read(begun, 1) == b"."
    with pytest.raises(BlockingIOError):
        locks.taken(path)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    lock = locks.taken(path)
    with pytest.raises(BlockingIOError):
        locks.taken(path)
    lock.release()
    with locks.alone(path), pytest.raises(BlockingIOError):
        locks.taken(path)
    locks.taken(path).release()
