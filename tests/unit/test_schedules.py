"""`training.schedule`: the learning rate over rounds and within a fit."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from fedgen_bench.base.errors import SuiteError
from fedgen_bench.contract.data import Examples
from fedgen_bench.contract.messages import Fit
from fedgen_bench.federation.batches import FitStreams
from fedgen_bench.federation.schedules import shares
from fedgen_bench.federation.trainer import TrainingPlan, fit
from fedgen_bench.run.tuning import trials
from fedgen_bench.suite.load import load_suite
from fedgen_bench.suite.schema import Schedule
from fedgen_bench.testing import toy
from fedgen_bench.testing.bits import same_bits
from fedgen_bench.testing.toy_federation import SEEDS
from fedgen_bench.testing.toy_models import split_module

TASK = toy.LoadedToy(toy.Params())
ORIGIN = Examples({"x": torch.zeros(1, 3)}, 1)
START = torch.tensor([0.5, -1.0, 2.0])


def fitted(schedule, round_index=0, n_steps=4, data=ORIGIN, optimizer="sgd"):
    """Where four steps at a full rate of 0.1 end, in a cell of three rounds."""
    adapted = split_module((0.5, -1.0), (2.0,))
    start = {name: parameter.detach().clone() for name, parameter in adapted.trainable.items()}
    plan = TrainingPlan(optimizer=optimizer, learning_rate=0.1, batch_size=4, schedule=schedule, n_rounds=3)
    report = fit(adapted, TASK, data, Fit(start), plan, FitStreams(SEEDS, round_index, 0), n_steps)
    return torch.cat([report.tensors["left"], report.tensors["right"].flatten()])


def along(*rates):
    """Towards the origin, a step at rate r multiplies by 1 - r."""
    return START * math.prod(1 - rate for rate in rates)


@pytest.mark.parametrize(
    ("curve", "n_warmup", "wanted"),
    [
        ("constant", 0, [1, 1, 1, 1]),
        ("constant", 1, [1 / 2, 1, 1, 1]),
        ("linear", 0, [1, 3 / 4, 2 / 4, 1 / 4]),
        ("linear", 2, [1 / 3, 2 / 3, 1, 1 / 2]),
        ("cosine", 0, [(1 + math.cos(math.pi * t / 4)) / 2 for t in range(4)]),
        ("cosine", 1, [1 / 2, *((1 + math.cos(math.pi * t / 3)) / 2 for t in range(3))]),
        ("linear", 6, [1 / 7, 2 / 7, 3 / 7, 4 / 7]),  # a fit so short that it ends while the rate rises
    ],
)
def test_shares_rise_evenly_and_fall_along_the_curve(curve, n_warmup, wanted):
    assert shares(curve, n_warmup, 4) == pytest.approx(wanted)


def test_shares_of_a_single_round_and_of_none():
    assert shares("cosine", 0, 1) == (1.0,)
    assert shares("linear", 1, 0) == ()


def test_shares_without_warm_up_are_those_of_transformers():
    from transformers import get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

    for curve, make in (("cosine", get_cosine_schedule_with_warmup), ("linear", get_linear_schedule_with_warmup)):
        optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        scheduler, theirs = make(optimizer, 0, 7), []
        for _ in range(7):
            theirs.append(scheduler.get_last_lr()[0])
            optimizer.step()
            scheduler.step()
        assert shares(curve, 0, 7) == pytest.approx(theirs)


def test_steps_of_a_fit_follow_the_schedule():
    found = fitted(Schedule(within_fit="linear", warmup_steps=1))
    torch.testing.assert_close(found, along(0.05, 0.1, 0.1 * 2 / 3, 0.1 / 3))


@pytest.mark.parametrize(("round_index", "rate"), [(0, 0.05), (1, 0.1), (2, 0.05), (3, 0.1)])
def test_rounds_follow_the_schedule_and_the_last_local_steps_have_the_full_rate(round_index, rate):
    found = fitted(Schedule(over_rounds="cosine", warmup_rounds=1), round_index)
    torch.testing.assert_close(found, along(*[rate] * 4))


def test_both_multiply():
    found = fitted(Schedule(over_rounds="linear", within_fit="linear"), 1, n_steps=2)
    torch.testing.assert_close(found, along(0.1 * 2 / 3, 0.1 * 2 / 3 / 2))


def test_every_fit_is_a_schedule_of_its_own():
    torch.testing.assert_close(fitted(Schedule(within_fit="linear"), n_steps=2), along(0.1, 0.05))
    torch.testing.assert_close(fitted(Schedule(within_fit="linear"), n_steps=1), along(0.1))


def test_adamw_steps_by_the_rate():
    # From the signs of a constant direction: |step| = rate while the moments agree.
    found = fitted(Schedule(warmup_steps=1), n_steps=1, optimizer="adamw")
    torch.testing.assert_close(found, START - 0.05 * START.sign())


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_constant_schedule_changes_no_bit(optimizer):
    data = Examples({"x": TASK.points[:10]}, 10)
    plain, constant = (fitted(one, 1, 5, data, optimizer) for one in (None, Schedule()))
    assert same_bits({"w": plain}, {"w": constant})


def test_strategies_are_told_the_rate_of_the_round(toy_experiment):
    experiment = toy_experiment("fedavg", "training.schedule.over_rounds='linear'")
    told = [experiment.context(i, 0, {}).learning_rate for i in range(5)]
    assert told == pytest.approx([0.2, 0.15, 0.1, 0.05, 0.2])
    assert toy_experiment("fedavg").context(3, 0, {}).learning_rate == 0.2


def test_pooled_rows_follow_the_schedule_too(toy_experiment):
    experiment = toy_experiment("centralized", "training.schedule.over_rounds='linear'")
    assert experiment.context(2, 0, {}).learning_rate == pytest.approx(0.05)


def test_trial_goes_through_the_schedule_in_its_own_rounds(registry):
    source = registry.get("suite", "toy").spec
    text = source.text.replace("[evaluation]", '[training.schedule]\nover_rounds = "linear"\n[evaluation]')
    source = replace(source, text=text)
    trial = trials(source, load_suite(source, registry), registry)[0]
    assert trial.spec.config.federation.rounds == 2
    assert trial.spec.config.training.schedule == Schedule(over_rounds="linear")


def test_absent_it_stands_in_no_configuration(toy_experiment):
    assert "schedule" not in toy_experiment("fedavg").config.to_json()["training"]
    given = toy_experiment("fedavg", "training.schedule.warmup_rounds=1").config
    whole = {"over_rounds": "constant", "warmup_rounds": 1, "within_fit": "constant", "warmup_steps": 0}
    assert given.to_json()["training"]["schedule"] == whole
    assert type(given).from_json(given.to_json()) == given


TABLE = "[training.schedule]\n{}\n[evaluation]"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ('over_rounds = "cosin"', "`training.schedule.over_rounds`: input should be 'constant', 'linear' or 'cosine'"),
        ("warmup_round = 1", "Unknown parameter `warmup_round`. Did you mean `warmup_rounds`?"),
        ("warmup_steps = -1", "`training.schedule.warmup_steps`: input should be greater than or equal to 0"),
        ("warmup_rounds = 4", "warmup_rounds (4) leaves none of federation.rounds (4) at the full rate. Lower it."),
        ("warmup_rounds = 2", "warmup_rounds (2) leaves none of tuning.rounds (2) at the full rate. Lower it."),
        ("warmup_steps = 2", "warmup_steps (2) leaves none of training.local_steps (2) at the full rate. Lower it."),
    ],
)
def test_what_is_wrong_is_told_with_its_line(registry, keys, message):
    source = registry.get("suite", "toy").spec
    text = source.text.replace("[evaluation]", TABLE.format(keys))
    line = text.splitlines().index(keys) + 1
    with pytest.raises(SuiteError) as caught:
        load_suite(replace(source, text=text), registry)
    assert any(f"toy.toml:{line}: {message}" in problem for problem in caught.value.problems)


@pytest.mark.parametrize("strategy", ["scaffold", "fednova"])
@pytest.mark.parametrize("key", ['within_fit = "cosine"', "warmup_steps = 1"])
def test_methods_that_take_steps_as_equal_refuse_a_schedule_within_the_fit(toy_suite, strategy, key):
    name, value = key.split(" = ")
    method = f"contender.fedavg.strategy.name='{strategy}'"
    with pytest.raises(SuiteError) as caught:
        toy_suite(method, f"training.schedule.{name}={value}")
    wanted = f"strategy `{strategy}` takes all steps of a fit to have one learning rate, which training.schedule.{key} "
    assert wanted in str(caught.value)
    assert toy_suite(method, "training.schedule.over_rounds='cosine'", "training.schedule.warmup_rounds=1")
