"""Processes that are forked from one that has imported what they need: they serve, end and die as spawned ones do."""

from __future__ import annotations

import gc
import importlib.util
import os
import signal
import sys
import time
from contextlib import contextmanager, nullcontext
from functools import partial
from operator import is_
from pathlib import Path

import pytest

from fedgen_bench.base import workers
from fedgen_bench.base.libraries import import_ahead
from fedgen_bench.base.nursery import Nursery, current, nursery
from fedgen_bench.base.pool import Died
from fedgen_bench.base.workers import Workers


@pytest.fixture(scope="module")
def home():
    opened = Nursery(["calendar", "there.is.no.such.module"])
    yield opened
    opened.close()


@pytest.fixture
def inside(home, monkeypatch):
    """Workers come from `home`."""
    monkeypatch.setattr(workers, "current", lambda: home)


def _looks(task, _tell):
    return task, os.getppid(), "calendar" in sys.modules, gc.isenabled(), gc.get_freeze_count() > 0


def _sleeps(task, _tell):
    time.sleep(task)


def _dies(task, _tell):
    if task is None:
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(task)


def _leaves_a_process_behind(task, _tell):
    """One that holds whatever the worker held open, for so many seconds; its id."""
    if not (pid := os.fork()):
        time.sleep(task)
        os._exit(0)
    return pid


@contextmanager
def _breaks():
    raise ZeroDivisionError
    yield


def answer_of(crew, task):
    worker = crew.hire()
    crew.give(worker, task)
    ((_, heard),) = crew.wait([worker], block=True)
    if not isinstance(heard, Died):
        crew.dismiss(worker)
    return heard


@pytest.mark.usefixtures("inside")
def test_worker_is_a_child_of_the_nursery_and_has_its_imports(home):
    assert answer_of(Workers(partial(nullcontext, _looks)), "task") == ("task", home.pid, True, True, True)


@pytest.mark.usefixtures("inside")
@pytest.mark.parametrize(("task", "how"), [(3, "exit code 3"), ("", "exit code 1")])
def test_how_a_worker_ended_is_told(task, how):
    assert answer_of(Workers(partial(nullcontext, _dies)), task) == Died(how)


@pytest.mark.usefixtures("inside")
def test_worker_whose_shop_breaks_has_ended():
    assert answer_of(Workers(_breaks), 1) == Died("exit code 1", begun=False)


@pytest.mark.usefixtures("inside")
def test_dismissed_worker_is_gone():
    crew = Workers(partial(nullcontext, is_))
    worker = crew.hire()
    crew.give(worker, 1)
    assert list(crew.wait([worker], block=True))
    pid = worker.process.pid
    crew.dismiss(worker)
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.usefixtures("inside")
def test_dismissed_worker_is_gone_whatever_it_leaves_behind():
    crew = Workers(partial(nullcontext, _leaves_a_process_behind))
    worker = crew.hire()
    crew.give(worker, 60)
    ((_, left),) = crew.wait([worker], block=True)
    pid, began = worker.process.pid, time.monotonic()
    crew.dismiss(worker)
    try:
        assert not Path(f"/proc/{pid}").exists()
        assert time.monotonic() - began < 50
    finally:
        os.kill(left, signal.SIGKILL)


def test_worker_that_is_given_up_before_it_is_born_says_nothing(capfd):
    with nursery([]) as home:
        assert answer_of(Workers(partial(nullcontext, _looks)), 1)[1] == home.pid
        os.kill(home.pid, signal.SIGSTOP)
        Workers(partial(nullcontext, is_)).hire().end()
        os.kill(home.pid, signal.SIGCONT)
        assert answer_of(Workers(partial(nullcontext, _looks)), 2)[1] == home.pid  # one is born after the other
        (unborn,) = Path(f"/proc/{home.pid}/task/{home.pid}/children").read_text().split()
        deadline = time.monotonic() + 60
        while Path(f"/proc/{unborn}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert capfd.readouterr().err == ""


def test_what_imports_print_is_printed_once(capfd, tmp_path, monkeypatch):
    (tmp_path / "printing_at_import.py").write_text("print('imported')", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    with nursery(["printing_at_import"]):
        crew = Workers(partial(nullcontext, _looks), seconds_to_leave=60)
        for task in range(2):
            answer_of(crew, task)
        crew.close()
    assert capfd.readouterr().out == "imported\n"


def test_children_die_with_the_nursery_and_the_next_workers_are_spawned(monkeypatch):
    monkeypatch.setattr(workers, "_spawned", lambda _serve: (_ for _ in ()).throw(LookupError("spawned")))
    with nursery([]) as home:
        crew = Workers(partial(nullcontext, _sleeps))
        worker = crew.hire()
        crew.give(worker, 0)
        assert list(crew.wait([worker], block=True))
        os.kill(home.pid, signal.SIGKILL)
        crew.give(worker, 600)
        ((_, heard),) = crew.wait([worker], block=True)
        assert heard == Died("signal 9", begun=heard.begun)
        home._process.join()
        with pytest.raises(LookupError, match="spawned"):
            crew.hire()


def test_worker_that_is_not_born_yet_is_not_waited_for():
    with nursery(["fedgen_bench.federation.run_cell"]) as home:
        worker = Workers(partial(nullcontext, is_)).hire()
        assert worker.process.pid == home.pid
        worker.end(60)
    assert current() is None
    assert not Path(f"/proc/{home.pid}").exists()


def test_import_ahead_brings_what_there_is_and_lets_the_collector_go_on():
    sys.modules.pop("colorsys", None)
    import_ahead(["there.is.no.such.module", "colorsys:rgb_to_hls", "os:no_such_attribute"])
    assert "colorsys" in sys.modules
    assert gc.isenabled()
    gc.disable()
    try:
        import_ahead(["colorsys"])
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_what_components_declare_is_there(registry):
    declared = {
        name
        for registered in registry.components.values()
        for one in registered.values()
        for name in getattr(one.spec, "libraries", ())
    }
    assert {"peft", "transformers:AutoTokenizer", "matplotlib.figure"} <= declared
    assert [name for name in declared if not importlib.util.find_spec(name.partition(":")[0])] == []
