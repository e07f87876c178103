# ruff: noqa: ARG001, ARG002, ARG005 - protocols name what these broken pieces do not use
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fedgen_bench.base.errors import BudgetError, Diverged, PluginError
from fedgen_bench.contract.data import Examples
from fedgen_bench.contract.engines import ClientTask
from fedgen_bench.contract.messages import Fit, Update
from fedgen_bench.contract.specs import StrategySpec
from fedgen_bench.federation.batches import FitStreams, batch_order, order_digest
from fedgen_bench.federation.parameters import load_tensors
from fedgen_bench.federation.trainer import TrainingPlan, fit, totals_of
from fedgen_bench.testing import toy
from fedgen_bench.testing.bits import same_bits
from fedgen_bench.testing.simulation import Simulation
from fedgen_bench.testing.toy_federation import SEEDS
from fedgen_bench.testing.toy_models import split_module

TASK = toy.LoadedToy(toy.Params())
DATA = Examples({"x": TASK.points[:10]}, 10)


def plan(**changed):
    values = {
        "optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 0.0, "batch_size": 4, "local_steps": 3,
        "local_epochs": None, "clip_norm": None, "precision": "fp32",
    }  # fmt: skip
    return TrainingPlan(**(values | changed))


def start_of(adapted):
    return {name: parameter.detach().clone() for name, parameter in adapted.trainable.items()}


def fitted(request=Fit, streams=None, n_steps=3, data=DATA, **changed):
    adapted = split_module((0.5, -1.0), (2.0,))
    return fit(
        adapted, TASK, data, request(start_of(adapted)), plan(**changed), streams or FitStreams(SEEDS, 0, 0), n_steps
    )


def rng():
    return np.random.Generator(np.random.Philox(key=1))


@pytest.mark.parametrize(("n", "size", "steps"), [(10, 4, 9), (4, 4, 3), (3, 8, 4), (1, 1, 3)])
def test_batch_order_runs_through_epochs_of_permutations(n, size, steps):
    batches = batch_order(n, size, steps, rng())
    per_epoch = -(-n // size)
    assert len(batches) == steps
    for first in range(0, steps - per_epoch + 1, per_epoch):
        epoch = batches[first : first + per_epoch]
        assert sorted(np.concatenate(epoch).tolist()) == list(range(n))
        assert [len(batch) for batch in epoch] == [size] * (n // size) + ([n % size] if n % size else [])


def test_batch_order_shuffles_every_epoch_anew():
    batches = batch_order(32, 32, 2, rng())
    assert batches[0].tolist() != batches[1].tolist()


def test_batch_order_of_nothing_is_refused():
    with pytest.raises(PluginError, match="without training examples"):
        batch_order(0, 4, 1, rng())


def test_order_digest_tells_batches_apart():
    one = [np.array([0, 1]), np.array([2])]
    assert order_digest(one) == order_digest([np.array([0, 1], dtype=np.int32), np.array([2])])
    assert order_digest(one) != order_digest([np.array([0]), np.array([1, 2])])


def test_steps_for_counts_steps_or_epochs():
    assert plan().steps_for(1000) == 3
    assert plan(local_steps=None, local_epochs=2).steps_for(9) == 6  # ceil(9 / 4) = 3 batches an epoch


def test_fit_repeats_to_the_bit_and_differs_by_round_client_and_fit():
    base = fitted()
    assert same_bits(base.tensors, fitted().tensors)
    assert base.batch_digest == fitted().batch_digest
    for streams in (FitStreams(SEEDS, 1, 0), FitStreams(SEEDS, 0, 1), FitStreams(SEEDS, 0, 0, 1)):
        assert fitted(streams=streams).batch_digest != base.batch_digest


def test_fit_does_not_depend_on_the_global_generator_and_leaves_it_alone():
    base = fitted()
    torch.manual_seed(99)
    before = torch.random.get_rng_state()
    assert same_bits(base.tensors, fitted().tensors)
    assert torch.equal(before, torch.random.get_rng_state())


def test_fit_reports_what_it_did():
    # One step from (0.5, -1, 2) on the points 0 and (2, 0, 0): losses 2.625 and 3.625.
    data = Examples({"x": torch.tensor([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0]])}, 2)
    report = fitted(data=data, n_steps=1)
    assert (report.n_examples, report.n_steps) == (2, 1)
    assert report.mean_loss == pytest.approx(3.125)


def test_fit_trains_only_what_is_named():
    report = fitted(lambda start: Fit(start, trainable=frozenset({"right"})))
    assert report.tensors["left"].tolist() == [0.5, -1.0]
    assert report.tensors["right"].tolist() != [[2.0]]


def test_fit_after_a_partial_fit_trains_everything_again():
    adapted = split_module((0.5, -1.0), (2.0,))
    start = start_of(adapted)
    fit(adapted, TASK, DATA, Fit(start, trainable=frozenset({"right"})), plan(), FitStreams(SEEDS, 0, 0), 2)
    report = fit(adapted, TASK, DATA, Fit(start), plan(), FitStreams(SEEDS, 0, 0), 3)
    assert same_bits(report.tensors, fitted().tensors)


def test_fit_gives_copies_and_leaves_the_start_alone():
    adapted = split_module((0.5, -1.0), (2.0,))
    start = start_of(adapted)
    report = fit(adapted, TASK, DATA, Fit(start), plan(), FitStreams(SEEDS, 0, 0), 2)
    report.tensors["left"].zero_()
    assert adapted.trainable["left"].detach().tolist() != [0.0, 0.0]
    assert start["left"].tolist() == [0.5, -1.0]
    assert not adapted.module.training


def test_fit_keeps_optimizer_state_within_a_fit_only():
    # AdamW's first step is lr * g / |g| a coordinate: fits of one step never see the moments of the fit before.
    adapted = split_module((5.0, -5.0), (5.0,))
    data = Examples({"x": torch.zeros(2, 3)}, 2)
    for step in range(1, 4):
        report = fit(adapted, TASK, data, Fit(start_of(adapted)), plan(optimizer="adamw"), FitStreams(SEEDS, 0, 0), 1)
        assert torch.cat([t.flatten() for t in report.tensors.values()]).tolist() == pytest.approx(
            [5 - 0.1 * step, -5 + 0.1 * step, 5 - 0.1 * step], rel=1e-5
        )


def test_fit_that_explodes_is_diverged():
    with pytest.raises(Diverged, match="Loss of client 7 is"):
        fitted(learning_rate=1e30, n_steps=6, streams=FitStreams(SEEDS, 0, 7))


@pytest.mark.parametrize(
    ("request_of", "message"),
    [
        (lambda start: Fit({"left": start["left"]}), "`right` is missing"),
        (lambda start: Fit(start | {"more": torch.ones(1)}), "`more` is unknown"),
        (lambda start: Fit(start | {"left": torch.ones(1)}), r"`left` has shape \(1,\)"),
        (lambda start: Fit(start, trainable=frozenset({"middle"})), "names `middle`"),
        (lambda start: Fit(start, trainable=frozenset()), "nothing to train"),
    ],
)
def test_fit_refuses_requests_that_do_not_fit_the_adapter(request_of, message):
    with pytest.raises(PluginError, match=message):
        fitted(request_of)


def test_load_tensors_refuses_before_it_changes_anything():
    adapted = split_module((0.5, -1.0), (2.0,))
    with pytest.raises(PluginError):
        load_tensors(adapted.trainable, {"left": torch.zeros(2)})
    assert adapted.trainable["left"].detach().tolist() == [0.5, -1.0]


class Asking:
    """A client that asks for the given steps, one fit after the other."""

    def __init__(self, steps):
        self.steps = steps

    def init(self, start, ctx):
        return None

    def client(self, payload, ctx):
        for n_steps in self.steps:
            report = yield Fit(ctx.start, n_steps=n_steps)
        return Update(report.tensors, 1)


def outcome_of(strategy, max_fits=1):
    spec = StrategySpec(name="asking", summary="", build=lambda params: strategy)
    simulation = Simulation(spec)
    work = replace(simulation.work, max_fits=max_fits)
    return work.run(ClientTask(round_index=0, client_id=0, message=None, like={}, keep={}))


@pytest.mark.parametrize(("steps", "max_fits"), [((2,), 1), ((1, 1), 1), ((None, None), 2), ((3, 1), 2)])
def test_engine_grants_the_budget(steps, max_fits):
    assert outcome_of(Asking(steps), max_fits).message is not None


@pytest.mark.parametrize(
    ("steps", "max_fits"), [((3,), 1), ((1, 2), 1), ((None, None), 1), ((0,), 1), ((-1,), 1), ((5,), 2)]
)
def test_engine_refuses_more_than_the_budget(steps, max_fits):
    with pytest.raises(BudgetError, match="local steps where 1 to"):
        outcome_of(Asking(steps), max_fits)


class Odd(Asking):
    def __init__(self, client):
        self.client = client


def _yields_a_string(payload, ctx):
    yield "fit"


def _returns_nothing(payload, ctx):
    yield Fit(ctx.start)


def _draws(payload, ctx):
    torch.rand(1)
    yield Fit(ctx.start)


@pytest.mark.parametrize(
    ("client", "message"),
    [
        (_yields_a_string, "yielded a str"),
        (_returns_nothing, "returned a NoneType"),
        (_draws, "moved the global generator of torch"),
    ],
)
def test_engine_names_a_client_half_that_breaks_its_contract(client, message):
    with pytest.raises(PluginError, match=message):
        outcome_of(Odd(client))


class NoFloat64(TorchDispatchMode):
    """Refuses every tensor in float64, as MPS does."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for one in tree_leaves(result):
            if isinstance(one, torch.Tensor) and one.dtype == torch.float64:
                raise TypeError(f"{func} makes a tensor in float64, which MPS does not have")
        return result


@pytest.mark.parametrize(
    "changed", [{}, {"optimizer": "adamw", "weight_decay": 0.1, "clip_norm": 1.0, "ema_decay": 0.9}], ids=str
)
def test_a_fit_makes_no_tensor_in_float64(changed):
    plain = fitted(**changed)
    with NoFloat64():
        assert fitted(**changed).mean_loss == plain.mean_loss


def test_losses_are_added_up_in_float64_and_in_their_order():
    steps = [torch.tensor([1e8, 1.0]), torch.tensor([1.0, 2.0]), torch.tensor([1.0])]
    assert totals_of(steps) == [100000002.0, 3.0]
