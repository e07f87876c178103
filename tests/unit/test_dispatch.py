"""The dispatcher against a crew that lives in this process and answers when and how a test says."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from fedgen_bench.base.errors import Diverged, FedgenError
from fedgen_bench.base.pool import Died
from fedgen_bench.contract.engines import ClientOutcome, ClientTask
from fedgen_bench.federation.blueprint import Blueprint
from fedgen_bench.federation.dispatch import Dispatcher
from fedgen_bench.federation.packing import PackedOutcome

ONE_BY_ONE = Blueprint(None, "cpu")


def tasks(n):
    return [ClientTask(round_index=0, client_id=i, message=None, like={}, keep={}) for i in range(n)]


def outcome(client_id):
    return ClientOutcome(client_id=client_id, message=None, n_examples=1, keep=None, mean_loss=0.0, batch_digest="")


def answer_to(task):
    others = tuple(PackedOutcome(outcome(one.client_id), None) for one in task.others)
    return PackedOutcome(outcome(task.client_id), None, others)


class Crew:
    """The youngest of the busy workers answers first; `say(client, try)` may give something else than an outcome."""

    def __init__(self, say=lambda _client, _try: None):
        self.say = say
        self.numbers = itertools.count()
        self.working = {}
        self.alive = set()
        self.given = []

    def hire(self):
        worker = next(self.numbers)
        self.alive.add(worker)
        return worker

    def give(self, worker, task, /):
        assert worker in self.alive
        assert worker not in self.working
        self.given.append(task.client_id)
        self.working[worker] = task

    def wait(self, busy, *, block):
        assert set(busy) == set(self.working)
        if not block:
            return []
        worker, task = self.working.popitem()
        said = self.say(task.client_id, self.given.count(task.client_id))
        if isinstance(said, Died):
            self.alive.remove(worker)
        return [(worker, answer_to(task) if said is None else said)]

    def dismiss(self, worker):
        self.alive.remove(worker)
        self.working.pop(worker, None)


def ids(outcomes):
    return [one.client_id for one in outcomes]


def test_dispatcher_gives_outcomes_in_the_order_of_the_tasks():
    crew = Crew()
    assert ids(Dispatcher(crew).run(tasks(7), ONE_BY_ONE, 3)) == list(range(7))
    assert crew.given == list(range(7))


def test_dispatcher_hires_no_more_workers_than_there_are_tasks_and_keeps_them():
    crew = Crew()
    dispatcher = Dispatcher(crew)
    assert ids(dispatcher.run(tasks(1), ONE_BY_ONE, 4)) == [0]
    assert crew.alive == {0}
    assert ids(dispatcher.run(tasks(9), ONE_BY_ONE, 4)) == list(range(9))
    assert crew.alive == {0, 1, 2, 3}
    dispatcher.close()
    assert crew.alive == set()


def test_dispatcher_takes_tasks_as_workers_come_free():
    taken = []
    outcomes = Dispatcher(Crew()).run((taken.append(one.client_id) or one for one in tasks(50)), ONE_BY_ONE, 3)
    assert taken == []
    next(outcomes)
    assert len(taken) <= 6
    next(outcomes)
    assert len(taken) <= 7


def test_dispatcher_runs_the_task_of_a_dead_worker_again_on_another():
    crew = Crew(lambda client, attempt: Died("signal 9") if client == 2 and attempt < 3 else None)
    assert ids(Dispatcher(crew).run(tasks(5), ONE_BY_ONE, 2)) == list(range(5))
    assert crew.given.count(2) == 3
    assert all(crew.given.count(i) == 1 for i in (0, 1, 3, 4))
    assert len(crew.alive) == 2


def test_dispatcher_gives_up_on_a_task_whose_worker_dies_every_time_in_its_turn():
    crew = Crew(lambda client, _: Died("signal 9") if client == 2 else None)
    dispatcher = Dispatcher(crew)
    outcomes = dispatcher.run(tasks(5), ONE_BY_ONE, 2)
    assert [next(outcomes).client_id, next(outcomes).client_id] == [0, 1]
    with pytest.raises(FedgenError, match=r"died 3 times while it worked on client 2 in round 0 \(signal 9\)"):
        next(outcomes)
    assert ids(dispatcher.run(tasks(2), ONE_BY_ONE, 2)) == [0, 1]


def test_idle_workers_that_died_do_not_spend_the_tries_of_a_task_they_never_began():
    died = iter([Died("signal 9", begun=False)] * 4)
    crew = Crew()
    dispatcher = Dispatcher(crew)
    assert ids(dispatcher.run(tasks(4), ONE_BY_ONE, 4)) == list(range(4))
    crew.say = lambda _client, _try: next(died, None)
    crew.given.clear()
    assert ids(dispatcher.run(tasks(1), ONE_BY_ONE, 4)) == [0]
    assert crew.given == [0] * 5


def test_dispatcher_gives_up_when_new_workers_die_before_they_begin():
    crew = Crew(lambda _client, _try: Died("exit code 1", begun=False))
    with pytest.raises(FedgenError, match=r"3 new worker processes .* client 0 in round 0 \(exit code 1\)"):
        list(Dispatcher(crew).run(tasks(1), ONE_BY_ONE, 1))
    assert crew.given == [0] * 3


@pytest.mark.parametrize("jobs", [1, 2, 4])
def test_dispatcher_raises_the_first_tasks_error_whichever_comes_first(jobs):
    errors = {1: Diverged("one"), 3: ValueError("three")}
    crew = Crew(lambda client, _: errors.get(client))
    outcomes = Dispatcher(crew).run(tasks(5), ONE_BY_ONE, jobs)
    assert next(outcomes).client_id == 0
    with pytest.raises(Diverged, match="one"):
        next(outcomes)


def test_dispatcher_raises_what_the_iterable_raises_behind_the_tasks_before_it():
    def broken():
        yield from tasks(2)
        raise ValueError("no more")

    outcomes = Dispatcher(Crew()).run(broken(), ONE_BY_ONE, 4)
    assert [next(outcomes).client_id, next(outcomes).client_id] == [0, 1]
    with pytest.raises(ValueError, match="no more"):
        next(outcomes)


def test_dispatcher_ends_workers_whose_answer_nobody_waits_for():
    crew = Crew()
    dispatcher = Dispatcher(crew)
    left = dispatcher.run(tasks(9), ONE_BY_ONE, 3)
    next(left)
    next(left)
    assert crew.working
    assert ids(dispatcher.run(tasks(2), ONE_BY_ONE, 3)) == [0, 1]
    assert not crew.working
    busy = len(crew.alive)
    left.close()
    assert len(crew.alive) == busy


@pytest.mark.parametrize("jobs", [1, 2, 4])
def test_dispatcher_hands_out_as_many_tasks_together_as_the_blueprint_says(jobs):
    crew = Crew()
    assert ids(Dispatcher(crew).run(tasks(8), replace(ONE_BY_ONE, cohort=3), jobs)) == list(range(8))
    assert crew.given == [0, 3, 6]


def test_dispatcher_raises_the_error_of_a_task_among_others_in_its_turn():
    def say(client, _try):
        done = PackedOutcome(outcome(client + 1), None)
        return PackedOutcome(outcome(client), None, (done, Diverged("Loss is nan."))) if client == 3 else None

    outcomes = Dispatcher(Crew(say)).run(tasks(9), replace(ONE_BY_ONE, cohort=3), 2)
    assert ids(itertools.islice(outcomes, 5)) == [0, 1, 2, 3, 4]
    with pytest.raises(Diverged, match="nan"):
        next(outcomes)
