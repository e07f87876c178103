"""The simulated clock of rounds: who counts, when a round ends, and that it changes nothing where all are alike."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from fedgen_bench.contract.reports import LATE, LEFT, UNAVAILABLE
from fedgen_bench.contract.seeds import SeedTree
from fedgen_bench.federation.clock import Asking, Rules, timed_round
from fedgen_bench.federation.fleet import Device, Fleet, State
from fedgen_bench.federation.round import Round
from fedgen_bench.federation.timetable import timetable_of
from fedgen_bench.registry.datasets import Places
from fedgen_bench.results.store import Store
from fedgen_bench.run.executor import Job
from fedgen_bench.run.runner import run_cells
from fedgen_bench.suite.cells import expand

SEEDS = SeedTree("task", "adapter", "partitioner", "strategy", 1)
EQUAL = 'devices={classes=[{name="one", share=1.0, flops=1e9, down=1e6, up=1e6}]%s}'
MIXED = (
    'devices={classes=[{name="fast", share=0.5, flops=1e9, down=1e6, up=1e6},'
    ' {name="slow", share=0.5, flops=1e9, down=50.0, up=50.0}]%s}'
)


def device(seconds_a_step, **more):
    return Device(name="d", states=(State(down=10.0, up=5.0, step_seconds=seconds_a_step),), **more)


def fleet_of(*devices):
    return Fleet(devices=devices, of_client=np.arange(len(devices)), seeds=SEEDS)


def asked(n, n_steps=4, down=20, up=10):
    return [Asking(client_id=i, down_bytes=down, up_bytes=up, n_steps=n_steps) for i in range(n)]


def timed(devices, **rules):
    return timed_round(fleet_of(*devices), Rules(**rules), 0, 100.0, asked(len(devices)))


def codes(clock):
    return [one.code for one in clock.clients]


def test_a_round_ends_with_the_last_reply():
    clock = timed([device(1.0), device(3.0), device(2.0)])
    assert (clock.began, clock.seconds, clock.ended) == (100.0, 16.0, 116.0)
    assert codes(clock) == ["", "", ""]
    assert [(one.download, one.work, one.upload) for one in clock.clients] == [(2, 4, 2), (2, 12, 2), (2, 8, 2)]


def test_energy_is_that_of_work_and_of_messages():
    drawing = device(1.0, watts=2.0, radio_watts=0.5)
    assert timed([drawing]).joules == 2.0 * 4 + 0.5 * (2 + 2)
    assert timed([drawing, device(9.0, watts=1.0)], deadline=9.0).joules == 10.0 + 9.0 * 4  # who is late has drawn, too
    assert timed([drawing, device(1.0, watts=1.0, availability=1e-12)]).joules == 10.0
    assert timed([drawing, device(1.0)]).joules is None


def test_a_round_ends_with_its_first_replies_and_the_others_are_late():
    clock = timed([device(1.0), device(3.0), device(2.0)], first=2)
    assert (clock.seconds, codes(clock)) == (12.0, ["", LATE, ""])
    tie = timed([device(1.0), device(1.0), device(1.0)], first=2)
    assert codes(tie) == ["", "", LATE]


def test_a_round_with_a_deadline_ends_there_or_with_the_last_reply():
    assert timed([device(1.0), device(2.0)], deadline=20.0).seconds == 12.0
    clock = timed([device(1.0), device(5.0)], deadline=20.0)
    assert (clock.seconds, codes(clock)) == (20.0, ["", LATE])
    assert timed([device(1.0), device(5.0)], deadline=20.0, first=1).seconds == 8.0
    nobody = timed([device(5.0)], deadline=1.0)
    assert (nobody.seconds, codes(nobody)) == (1.0, [LATE])


def test_partial_work_is_as_many_steps_as_fit_and_at_least_one():
    clock = timed([device(1.0), device(5.0), device(30.0)], deadline=15.0, partial=True)
    assert [(one.n_steps, one.code) for one in clock.clients] == [(4, ""), (2, ""), (1, LATE)]
    assert clock.clients[1].work == 10.0
    two_fits = timed([device(2.0)], deadline=13.0, partial=True, fits=2)
    assert (two_fits.clients[0].n_steps, two_fits.clients[0].work) == (2, 8.0)


@pytest.mark.parametrize("deadline", [4.3, 5.1, 4.7, 6.0])
def test_partial_work_is_never_late_by_rounding(deadline):
    step = 0.1
    (one,) = timed([device(step)], deadline=deadline - 0.0, partial=True).clients
    assert not one.code
    assert one.download + one.work + one.upload <= deadline


def test_classes_may_take_fewer_steps_where_work_may_be_partial():
    devices = [device(1.0, local_steps=3), device(1.0)]
    assert [one.n_steps for one in timed(devices, partial=True).clients] == [3, 4]
    assert [one.n_steps for one in timed(devices).clients] == [4, 4]


def test_who_cannot_be_reached_or_leaves_is_not_waited_for():
    out = replace(device(9.0), availability=1e-12)
    gone = replace(device(9.0), leaving=1 - 1e-12)
    clock = timed([out, device(1.0), gone])
    assert (codes(clock), clock.seconds) == ([UNAVAILABLE, "", LEFT], 8.0)
    assert clock.clients[0].download == 0
    assert [one.client_id for one in clock.absent] == [0, 2]
    assert timed([out, out]).seconds == 0


@pytest.fixture(scope="module")
def ran(registry, toy_suite, tmp_path_factory):
    """Runs contenders of the toy suite under seed 1 and gives the stored runs by contender."""

    @cache
    def run(*contenders, overrides=(), engine="local"):
        suite = toy_suite(*overrides)
        listed = {one.name for one in suite.contender}
        added = [f"strategy/{one}" for one in contenders if one not in listed]
        cells = expand(suite, registry, contenders=contenders, added=added, seeds=[1])
        folder = tmp_path_factory.mktemp("ran")
        with Store(folder) as store:
            job = Job(folder, Places(), "cpu", registry.plugin_files, engine)
            run_cells(cells, registry, job, store, workers=1, on_event=lambda _: None)
            return {one.spec.contender: one for one in store.runs("toy", 1)}

    return run


def bits(run):
    digests = [(one.batch_digest, one.mean_loss, dict(one.metrics)) for one in run.rounds]
    ledger = [entry for one in run.rounds for entry in one.ledger]
    return run.result.facts["final_sha256"], digests, ledger, dict(run.result.metrics)


@pytest.mark.parametrize("ends", ["", ", first=3", ", deadline=1e6"])
def test_equal_devices_change_no_bit(ran, ends):
    both = "fedgen_edge", "fedavg"
    before, after = ran(*both), ran(*both, overrides=(EQUAL % ends,))
    for name in both:
        assert bits(after[name]) == bits(before[name])
        assert before[name].rounds[0].clock is None
        clocks = [one.clock for one in after[name].rounds]
        assert all(clock.seconds > 0 and not clock.absent for clock in clocks)
        assert [one.began for one in clocks[1:]] == [one.ended for one in clocks[:-1]]


def test_late_clients_are_booked_down_alone_and_are_not_trained(ran):
    run = ran("fedavg", overrides=(MIXED % ", first=2",))["fedavg"]
    for report in run.rounds:
        (late,) = report.clock.absent
        assert late.code == LATE
        assert report.admitted == tuple(i for i in report.cohort if i != late.client_id)
        assert report.n_accepted == 2
        own = [one.direction for one in report.ledger if one.client_id == late.client_id]
        assert own == ["down"]
    assert {one.status for one in ran("fedavg", overrides=(MIXED % ", first=2",)).values()} == {"done"}


def test_batches_stay_paired_whoever_is_late(ran):
    before, after = ran("fedavg")["fedavg"], ran("fedavg", overrides=(MIXED % ", first=1",))["fedavg"]
    assert [one.batch_digest for one in after.rounds] == [one.batch_digest for one in before.rounds]
    assert after.result.digests == before.result.digests
    assert after.result.facts["final_sha256"] != before.result.facts["final_sha256"]


PARTIAL = (
    'devices={classes=[{name="fast", share=0.5, flops=1e9, down=1e6, up=1e6},'
    ' {name="slow", share=0.5, flops=1e3, down=1e6, up=1e6}], deadline=%s%s}'
)


@pytest.mark.usefixtures("forked")
@pytest.mark.parametrize("engine", ["local", "processes"])
def test_partial_work_counts_and_its_batches_are_the_first_ones(ran, monkeypatch, engine):
    monkeypatch.setattr("fedgen_bench.federation.client_costs.step_flops", lambda *_: 1000)  # a second on slow devices
    before = ran("fedprox")["fedprox"]
    after = ran("fedprox", overrides=(PARTIAL % (1.5, ""),), engine=engine)["fedprox"]
    steps = {one.n_steps for report in after.rounds for one in report.clock.clients}
    assert steps == {1, 2}
    assert all(report.n_accepted == 3 for report in after.rounds)
    assert [one.batch_digest for one in after.rounds] == [one.batch_digest for one in before.rounds]
    assert sum(one.n_steps for one in after.rounds) < sum(one.n_steps for one in before.rounds)
    assert after.result.facts["final_sha256"] != before.result.facts["final_sha256"]
    dropped = ran("fedavg", overrides=(PARTIAL % (1.5, ""),))["fedavg"]
    assert {one.code for report in dropped.rounds for one in report.clock.clients} == {"", LATE}


def test_classes_take_their_local_steps_of_methods_that_take_partial_work(ran, monkeypatch):
    monkeypatch.setattr("fedgen_bench.federation.client_costs.step_flops", lambda *_: 1000)
    overrides = (PARTIAL % (1e6, ", local_steps={slow=1}"),)
    both = {name: ran(name, overrides=overrides)[name] for name in ("fedprox", "fedavg")}
    steps = {name: {one.n_steps for r in run.rounds for one in r.clock.clients} for name, run in both.items()}
    assert steps == {"fedprox": {1, 2}, "fedavg": {2}}


def test_the_unreached_are_sent_nothing(ran):
    overrides = EQUAL.replace("up=1e6", "up=1e6, availability=0.6") % "", "federation.rounds=8"
    run = ran("fedavg", overrides=overrides)["fedavg"]
    out = [(one.round_index, two.client_id) for one in run.rounds for two in one.clock.absent]
    assert out
    booked = {(entry.round_index, entry.client_id) for one in run.rounds for entry in one.ledger}
    assert not booked & set(out)


def test_a_deadline_that_nobody_meets_fails_the_round_and_says_so(ran):
    run = ran("fedavg", overrides=(EQUAL % ", deadline=1e-9",))["fedavg"]
    assert run.status == "failed"
    assert run.reason == "Round 0: 0 valid updates, the suite wants 1 (late)."


def test_private_states_of_clients_that_did_not_count_stay(toy_experiment):
    experiment = toy_experiment("fedgen_edge", MIXED % ", first=1")
    state = experiment.first_state()
    clock = timetable_of(experiment).round(0, state, lambda _: {}, {}, 0.0)
    this = Round(
        experiment=experiment,
        index=0,
        state=state,
        work=experiment.work(),
        engine=InProcess(),
        keep=lambda _: {},
        admitted_in={},
        clock=clock,
    )
    this.aggregate()
    counted = [one.client_id for one in clock.clients if not one.code]
    assert len(counted) == 1
    assert list(this.new_keeps) == counted
    assert len(this.batch_digests) == 3


class InProcess:
    """An engine that works tasks off where it is."""

    def run(self, tasks, work):
        return work.run_each(tasks)
