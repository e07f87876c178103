"""Spans are nested, say what is their own, come from every process, and do nothing while nobody keeps them."""

from __future__ import annotations

import contextlib
import os
from functools import partial

import pytest

from fedgen_bench.base import spans
from fedgen_bench.base.pool import Pool
from fedgen_bench.base.spans import kept, read, span
from fedgen_bench.base.workers import Workers


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on by what is asked for."""
    now = [100.0]
    monkeypatch.setattr(spans.time, "perf_counter", lambda: now[0])

    def go_on(seconds):
        now[0] += seconds

    return go_on


def test_off_a_span_is_one_object_that_looks_at_no_clock(monkeypatch):
    monkeypatch.setattr(spans.time, "perf_counter", lambda: pytest.fail("looked at the clock"))
    with span("fit", 3) as one:
        one.carried(5)
    assert span("round") is one
    assert spans.folder() is None


def test_spans_are_nested_and_know_what_is_their_own(tmp_path, clock):
    with kept(tmp_path):
        assert spans.folder() == tmp_path
        with span("round", 0):
            clock(1)
            with span("fit", 7) as fitting:
                clock(2)
                fitting.carried(10)
                fitting.carried(1)
            with span("fit", 8):
                clock(4)
            clock(8)
    outer, first, second = read(tmp_path)
    assert (outer.name, outer.detail, outer.began, outer.seconds, outer.own_seconds) == ("round", "0", 100, 15, 9)
    assert (outer.within, first.within) == ((), ("round",))
    assert (first.name, first.detail, first.began, first.seconds, first.n_bytes) == ("fit", "7", 101, 2, 11)
    assert (second.own_seconds, second.n_bytes) == (4, 0)
    assert {one.process for one in (outer, first, second)} == {os.getpid()}
    assert 0 < outer.peak_bytes < 1 << 40
    assert span("round") is span("fit")


def test_a_span_ends_with_what_fails_in_it(tmp_path, clock):
    with kept(tmp_path), contextlib.suppress(LookupError), span("round"), span("fit"):
        clock(1)
        raise LookupError
    assert [(one.name, one.seconds) for one in read(tmp_path)] == [("round", 1), ("fit", 1)]


def test_some_spans_are_in_a_context_that_is_not_theirs_in_time(tmp_path, clock):
    happened = []

    @contextlib.contextmanager
    def watched():
        clock(10)
        happened.append("begun")
        yield
        happened.append("ended")
        clock(10)

    with kept(tmp_path, {"fit": watched}), span("round"), span("fit"):
        clock(1)
    assert happened == ["begun", "ended"]
    assert [one.seconds for one in read(tmp_path)] == [21, 1]


@contextlib.contextmanager
def _shop():
    def work(task, _):
        with span("fit", task):
            return os.getpid()

    yield work


@pytest.mark.usefixtures("forked")
def test_worker_processes_that_are_begun_meanwhile_keep_theirs(tmp_path):
    def asked(name):
        crew = Workers(partial(_shop))
        pool = Pool(crew)
        with contextlib.closing(crew), contextlib.closing(pool):
            pool.give(name, name)
            return next(iter(pool.wait(block=True)))[1]

    with kept(tmp_path), span("round"):
        worker = asked("one")
    asked("two")
    found = {one.name: one for one in read(tmp_path)}
    assert found.keys() == {"round", "fit"}
    assert (found["fit"].process, found["fit"].detail) == (worker, "one")
    assert found["round"].process == os.getpid()
