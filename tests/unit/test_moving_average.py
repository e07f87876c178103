"""`training.ema_decay`: what a fit reports is the average of its steps."""

from __future__ import annotations

import pytest
import torch

from fedgen_bench.contract.data import Examples
from fedgen_bench.contract.messages import Fit
from fedgen_bench.federation.batches import FitStreams
from fedgen_bench.federation.trainer import TrainingPlan, fit
from fedgen_bench.testing import toy
from fedgen_bench.testing.bits import same_bits
from fedgen_bench.testing.toy_federation import SEEDS
from fedgen_bench.testing.toy_models import split_module

TASK = toy.LoadedToy(toy.Params())
ORIGIN = Examples({"x": torch.zeros(1, 3)}, 1)


def fitted(ema_decay, n_steps=2, data=ORIGIN, trainable=None, optimizer="sgd"):
    adapted = split_module((0.5, -1.0), (2.0,))
    start = {name: parameter.detach().clone() for name, parameter in adapted.trainable.items()}
    plan = TrainingPlan(optimizer=optimizer, learning_rate=0.1, batch_size=4, local_steps=n_steps, ema_decay=ema_decay)
    report = fit(adapted, TASK, data, Fit(start, trainable=trainable), plan, FitStreams(SEEDS, 0, 0), n_steps)
    assert same_bits(report.tensors, {name: one.detach() for name, one in adapted.trainable.items()})
    return report


def test_average_is_that_of_the_steps():
    # Towards the origin at rate 0.1 a step multiplies by 0.9: from s to 0.9 s to 0.81 s.
    # d_1 = min(0.15, 1/10) = 0.1: 0.1 s + 0.9 * 0.9 s = 0.91 s.
    # d_2 = min(0.15, 2/11) = 0.15: 0.15 * 0.91 s + 0.85 * 0.81 s = 0.825 s.
    report = fitted(0.15)
    assert report.tensors["left"].tolist() == pytest.approx([0.825 * 0.5, -0.825])
    assert report.tensors["right"].flatten().tolist() == pytest.approx([0.825 * 2.0])


def test_average_after_one_step_has_a_tenth_of_the_start():
    assert fitted(0.999, n_steps=1).tensors["left"].tolist() == pytest.approx([0.91 * 0.5, -0.91])


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_average_changes_neither_batches_nor_training(optimizer):
    data = Examples({"x": TASK.points[:10]}, 10)
    plain, averaged = (fitted(decay, 5, data, optimizer=optimizer) for decay in (None, 0.9))
    assert plain.batch_digest == averaged.batch_digest
    assert plain.mean_loss == averaged.mean_loss
    assert not same_bits(plain.tensors, averaged.tensors)


def test_average_leaves_what_is_not_trained_alone():
    report = fitted(0.5, trainable=frozenset({"right"}))
    assert report.tensors["left"].tolist() == [0.5, -1.0]
    assert report.tensors["right"].flatten().tolist() != [2.0]


def test_suite_gives_the_decay_to_the_trainer(toy_experiment):
    assert toy_experiment("fedavg").plan.ema_decay is None
    assert toy_experiment("fedavg", "training.ema_decay=0.9").plan.ema_decay == 0.9
