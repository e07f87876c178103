"""A pool over a crew that lives in this process and says what a test has it say."""

from __future__ import annotations

import itertools

import pytest

from fedgen_bench.base.pool import Died, Note, Pool


class Crew:
    """Whatever is put into `said` is heard next."""

    def __init__(self):
        self.numbers = itertools.count()
        self.alive = set()
        self.given = []
        self.said = []

    def hire(self):
        worker = next(self.numbers)
        self.alive.add(worker)
        return worker

    def give(self, worker, task, /):
        assert worker in self.alive
        self.given.append((worker, task))

    def wait(self, busy, *, block):
        assert block
        found, self.said = self.said, []
        assert {worker for worker, _ in found} <= set(busy)
        self.alive -= {worker for worker, heard in found if isinstance(heard, Died)}
        return found

    def dismiss(self, worker):
        self.alive.remove(worker)


@pytest.fixture
def crew():
    return Crew()


@pytest.fixture
def pool(crew):
    return Pool(crew)


def test_pool_hires_when_nobody_is_idle(crew, pool):
    pool.give("a", 1)
    pool.give("b", 2)
    crew.said = [(1, "two")]
    assert list(pool.wait(block=True)) == [("b", "two")]
    assert pool.n_busy == 1
    pool.give("c", 3)
    assert crew.given == [(0, 1), (1, 2), (1, 3)]


def test_pool_takes_a_worker_for_idle_when_its_answer_is_taken(crew, pool):
    pool.give("a", 1)
    crew.said = [(0, "one")]
    for label, _ in pool.wait(block=True):
        pool.give(label + "gain", 2)
    assert crew.alive == {0}


def test_note_ends_no_task(crew, pool):
    pool.give("a", 1)
    crew.said = [(0, Note("half")), (0, "whole")]
    assert list(pool.wait(block=True)) == [("a", Note("half")), ("a", "whole")]
    assert pool.n_busy == 0


def test_death_says_whether_the_worker_was_hired_for_the_task(crew, pool):
    pool.give("a", 1)
    pool.give("b", 2)
    crew.said = [(0, "one"), (1, Died("signal 9", begun=False))]
    assert list(pool.wait(block=True)) == [("a", "one"), ("b", Died("signal 9", begun=False, new=True))]
    pool.give("c", 3)
    crew.said = [(0, Died("signal 9"))]
    assert list(pool.wait(block=True)) == [("c", Died("signal 9", new=False))]
    assert pool.n_busy == 0


def test_pool_with_nobody_at_work_waits_for_nothing(pool):
    assert list(pool.wait(block=True)) == []


def test_pool_ends_the_idle_the_busy_or_all(crew, pool):
    for label in "abc":
        pool.give(label, 0)
    crew.said = [(0, "zero")]
    assert len(list(pool.wait(block=True))) == 1
    pool.dismiss_idle()
    assert crew.alive == {1, 2}
    crew.said = [(1, "one")]
    assert len(list(pool.wait(block=True))) == 1
    pool.give_up()
    assert crew.alive == {1}
    pool.give("d", 0)
    pool.close()
    assert crew.alive == set()
