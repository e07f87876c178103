"""Cells on worker processes: what becomes of a cell whose worker is stopped, dies or lacks what it needs."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from fedgen_bench.base import heartbeats, workers
from fedgen_bench.base.errors import FedgenError, StoreError
from fedgen_bench.registry.datasets import Places
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.run import parallel
from fedgen_bench.run.events import Event
from fedgen_bench.run.executor import Job
from fedgen_bench.suite.cells import expand
from fedgen_bench.suite.load import load_suite
from fedgen_bench.testing import toy

pytestmark = pytest.mark.usefixtures("forked")


@pytest.fixture(scope="module")
def cells():
    registry = load_registry([toy.__file__], environ={})
    suite = load_suite(registry.get("suite", "toy").spec, registry)
    return expand(suite, registry, contenders=["fedavg", "local_only"], seeds=[1, 2])


@pytest.fixture
def told(monkeypatch, tmp_path, cells):
    """What is told of `cells` on two workers that do `work(spec, tell)`."""
    monkeypatch.setattr(heartbeats, "_BEAT_SECONDS", 0.05)
    monkeypatch.setattr(parallel, "Workers", partial(workers.Workers, silence=1.0))

    def run(work, meanwhile=lambda: None):
        @contextlib.contextmanager
        def open_cells(job):
            try:
                yield work
            finally:
                (job.root / f"closed-{os.getpid()}").touch()

        monkeypatch.setattr(parallel, "_open_cells", open_cells)
        return parallel.in_parallel(cells, Job(tmp_path, Places(), "cpu", ()), 2, meanwhile)

    return run


def ended(events):
    return {one.run: (one.status, one.reason) for one in events if one.kind == "ended"}


def done(spec, tell):
    tell(Event("round", spec.name, 1, os.getpid()))
    return Event("ended", spec.name, status="done")


def test_every_cell_is_begun_told_of_and_ended_and_idle_workers_close_what_they_opened(told, cells, tmp_path):
    events = list(told(done))
    for cell in cells:
        assert [one.kind for one in events if one.run == cell.name] == ["started", "round", "ended"]
    pids = {one.round_index for one in events if one.kind == "round"}
    assert {one.name for one in tmp_path.iterdir()} == {f"closed-{pid}" for pid in pids}
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_cell_of_a_stopped_worker_has_crashed_after_the_silence_and_the_others_go_on(told, cells):
    def work(spec, tell):
        if spec == cells[0]:
            tell(Event("round", spec.name, 1, os.getpid()))
            os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(0.1)
        return done(spec, tell)

    began = time.monotonic()
    events = list(told(work))
    assert time.monotonic() - began < 5
    reason = (
        "The worker process died (no sign of life for 1 s: it was stopped, or hangs). "
        "Run the same command again to resume."
    )
    assert ended(events) == {one.name: ("done", "") for one in cells} | {cells[0].name: ("crashed", reason)}
    stopped = next(one.round_index for one in events if one.kind == "round" and one.run == cells[0].name)
    assert not Path(f"/proc/{stopped}").exists()


def test_cell_of_a_killed_worker_has_crashed_and_nobody_takes_its_place(told, cells):
    def work(spec, tell):
        if spec == cells[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.2)
        return done(spec, tell)

    events = list(told(work))
    reason = "The worker process died (signal 9). Run the same command again to resume."
    assert ended(events) == {one.name: ("done", "") for one in cells} | {cells[0].name: ("crashed", reason)}
    assert len({one.round_index for one in events if one.kind == "round"}) == 1


def test_every_worker_dead_is_an_error_as_long_as_cells_are_left(told):
    def work(_spec, _tell):
        os._exit(3)

    with pytest.raises(StoreError, match="Every worker process died"):
        list(told(work))


def test_what_no_cell_can_do_without_ends_the_run(told):
    def work(_spec, _tell):
        raise FedgenError("the disk is full")

    with pytest.raises(FedgenError, match="the disk is full"):
        list(told(work))


def test_run_that_is_given_up_leaves_no_worker(told):
    def work(spec, tell):
        tell(Event("round", spec.name, 1, os.getpid()))
        time.sleep(60)

    events = told(work)
    began = time.monotonic()
    pids = [event.round_index for event in (next(events) for _ in range(4)) if event.kind == "round"]
    assert len(pids) == 2
    events.close()
    assert time.monotonic() - began < 5
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_what_stands_in_the_way_ends_the_workers_that_are_coming(told):
    def broken():
        raise FedgenError("no data")

    began = time.monotonic()
    with pytest.raises(FedgenError, match="no data"):
        list(told(done, broken))
    assert time.monotonic() - began < 5
