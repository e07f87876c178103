# ruff: noqa: ARG002, ARG005 - protocols name what these pieces do not use
from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fedgen_bench.base.errors import Diverged, PluginError
from fedgen_bench.contract.data import Examples
from fedgen_bench.contract.engines import ClientOutcome, ClientTask
from fedgen_bench.contract.messages import Fit, FitReport, Proximal, Update
from fedgen_bench.contract.specs import StrategySpec
from fedgen_bench.federation import cohort as cohort_module
from fedgen_bench.federation.asked import Asked
from fedgen_bench.federation.batches import FitStreams
from fedgen_bench.federation.cohort import Answers, in_cohorts, worked_off
from fedgen_bench.federation.trainer import TrainingPlan
from fedgen_bench.suite.schema import Schedule
from fedgen_bench.testing import toy
from fedgen_bench.testing.simulation import Simulation
from fedgen_bench.testing.toy_federation import SEEDS
from fedgen_bench.testing.toy_models import split_module


def broken(n):
    yield from range(n)
    raise PluginError("no more")


@pytest.mark.parametrize(("n", "size", "wanted"), [(5, 2, [[0, 1], [2, 3], [4]]), (4, 2, [[0, 1], [2, 3]]), (0, 3, [])])
def test_items_come_so_many_at_a_time(n, size, wanted):
    assert list(in_cohorts(range(n), size)) == wanted


def test_items_before_an_error_come_before_it():
    cohorts = in_cohorts(broken(3), 2)
    assert [next(cohorts), next(cohorts)] == [[0, 1], [2]]
    with pytest.raises(PluginError, match="no more"):
        next(cohorts)


def test_items_are_taken_as_late_as_can_be():
    taken = []
    cohorts = in_cohorts((taken.append(i) for i in range(9)), 3)
    next(cohorts)
    assert len(taken) == 3


def asked(client_id=0, n_steps=2, n=4, **request):
    start = {"left": torch.zeros(2), "right": torch.zeros(1)}
    data = Examples({"x": toy.LoadedToy(toy.Params()).points[:n]}, n)
    return Asked(Fit(start, **request), data, FitStreams(SEEDS, 0, client_id), n_steps)


def outcome(client_id):
    return ClientOutcome(client_id=client_id, message=None, n_examples=1, keep=None, mean_loss=0.0, batch_digest="")


def working(client_id, n_fits, told):
    try:
        for i in range(n_fits):
            report = yield asked(client_id, n_steps=i + 1)
            told.append((client_id, report.n_steps))
    except Diverged:
        told.append((client_id, "diverged"))
        raise
    return outcome(client_id)


def report_of(one):
    return FitReport({}, 1, one.n_steps, 0.0, "")


def test_clients_are_asked_together_until_the_last_has_ended():
    rounds, told = [], []

    def answers(some):
        rounds.append([(one.streams.client_id, one.n_steps) for one in some])
        return list(map(report_of, some))

    outcomes = worked_off([working(0, 1, told), working(1, 3, told), working(2, 2, told)], answers)
    assert [one.client_id for one in outcomes] == [0, 1, 2]
    assert rounds == [[(0, 1), (1, 1), (2, 1)], [(1, 2), (2, 2)], [(1, 3)]]


def test_what_goes_wrong_in_one_client_is_raised_in_its_turn():
    told = []

    def answers(some):
        return [Diverged("nan") if one.streams.client_id == 1 else report_of(one) for one in some]

    outcomes = worked_off([working(0, 2, told), working(1, 2, told), working(2, 1, told)], answers)
    assert next(outcomes).client_id == 0
    with pytest.raises(Diverged, match="nan"):
        next(outcomes)
    assert (1, "diverged") in told


class Joint(toy.LoadedToy):
    """A toy task that can have several clients in one pass, as far as it says."""

    def losses(self, module, batches, generators):
        return [self.loss(module, batch, generator) for batch, generator in zip(batches, generators, strict=True)]


def alone(one):
    return replace(report_of(one), batch_digest="alone")


@pytest.fixture
def together(monkeypatch):
    """The groups that were trained in one pass."""
    groups = []

    def fit_together(_adapted, _task, some, _plan):
        groups.append([one.streams.client_id for one in some])
        return list(map(report_of, some))

    monkeypatch.setattr(cohort_module, "fit_together", fit_together)
    monkeypatch.setattr(cohort_module, "agrees", lambda *_: True)
    return groups


def answers_of(task=None, schedule=None):
    adapted = split_module((0.0, 0.0), (0.0,))
    plan = TrainingPlan(optimizer="sgd", learning_rate=0.1, batch_size=4, schedule=schedule)
    return Answers(adapted, task or Joint(toy.Params()), plan, alone)


def test_fits_that_differ_in_data_steps_and_penalty_go_together(together):
    some = [asked(1), asked(2, n_steps=5), asked(3, n=2), asked(4, penalty=Proximal(1.0))]
    assert [one.n_steps for one in answers_of()(some)] == [2, 5, 2, 2]
    assert together == [[1, 2, 3, 4]]


@pytest.mark.parametrize(
    ("schedule", "groups"),
    [
        (Schedule(within_fit="cosine"), [[1, 3], [2, 4]]),
        (Schedule(warmup_steps=1), [[1, 3], [2, 4]]),
        (Schedule(over_rounds="cosine"), [[1, 2, 3, 4]]),
    ],
)
def test_fits_of_unequal_length_have_rates_of_their_own_within_a_schedule(together, schedule, groups):
    answers_of(schedule=schedule)([asked(1), asked(2, n_steps=5), asked(3), asked(4, n_steps=5)])
    assert together == groups


@pytest.mark.parametrize(
    "other",
    [
        asked(9, trainable=frozenset({"left"})),
        asked(9, merges=({"b": torch.ones(2)},)),
        replace(asked(9), data=Examples({"x": torch.zeros(4, 9)}, 4)),
        replace(asked(9), data=Examples({"x": torch.zeros(0, 3)}, 0)),
        replace(asked(9), request=Fit({"left": torch.zeros(2)})),
        asked(9, trainable=frozenset({"middle"})),
    ],
)
def test_fit_of_another_kind_goes_alone(together, other):
    first, odd, last = answers_of()([asked(1), other, asked(2)])
    assert together == [[1, 2]]
    assert (first.batch_digest, odd.batch_digest, last.batch_digest) == ("", "alone", "")


def test_fits_with_equal_merges_go_together(together):
    answers_of()([asked(i, merges=({"b": torch.ones(2)},)) for i in (1, 2)])
    assert together == [[1, 2]]


@pytest.mark.parametrize("task", [toy.LoadedToy(toy.Params()), Joint(toy.Params())])
def test_fits_go_alone_where_task_or_module_cannot_have_several(monkeypatch, task):
    looked = []
    monkeypatch.setattr(cohort_module, "agrees", lambda *given: looked.append(given) or False)
    answers = answers_of(task)
    for _ in range(2):
        assert [one.batch_digest for one in answers([asked(1), asked(2)])] == ["alone", "alone"]
    assert len(looked) == isinstance(task, Joint)  # once


class Plain:
    def init(self, start, ctx):
        return None

    def client(self, payload, ctx):
        report = yield Fit(ctx.start)
        return Update(report.tensors, report.n_examples)


def test_cohort_of_clients_that_are_not_fused_has_the_bits_of_one_by_one():
    work = Simulation(StrategySpec(name="plain", summary="", build=lambda params: Plain())).work
    tasks = [ClientTask(round_index=0, client_id=i, message=None, like={}, keep={}) for i in range(3)]
    ours, theirs = list(replace(work, cohort=2).run_each(tasks)), list(work.run_each(tasks))
    assert [one.message for one in ours] == [one.message for one in theirs]
    assert [one.batch_digest for one in ours] == [one.batch_digest for one in theirs]
