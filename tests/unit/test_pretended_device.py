"""On a pretended device, what a GPU refuses is refused, and a federation computes what it does on the processor."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from fedgen_bench.contract.data import Examples
from fedgen_bench.contract.messages import Fit
from fedgen_bench.federation.batches import FitStreams
from fedgen_bench.federation.parameters import dump_tensors
from fedgen_bench.federation.trainer import TrainingPlan, fit
from fedgen_bench.testing import toy
from fedgen_bench.testing.bits import same_bits
from fedgen_bench.testing.pretended import pretended
from fedgen_bench.testing.simulation import Simulation
from fedgen_bench.testing.structure import with_defaults
from fedgen_bench.testing.toy_federation import SEEDS
from fedgen_bench.testing.toy_models import split_module

TASK = toy.LoadedToy(toy.Params())
DATA = Examples({"x": TASK.points[:10]}, 10)
PLAN = TrainingPlan(optimizer="adamw", learning_rate=0.1, batch_size=4, weight_decay=0.01, clip_norm=1.0)


def fitted(task, device, n_steps=3, plan=PLAN, data=DATA):
    adapted = split_module((0.5, -1.0), (2.0,))
    adapted.module.to(device)
    start = Fit(dump_tensors(adapted.trainable))
    return fit(adapted, task, data, start, plan, FitStreams(SEEDS, 0, 0), n_steps)


class Planted:
    """The toy task with a mistake in its loss, which a processor does not mind."""

    def __init__(self, mistake):
        self.mistake = mistake

    def loss(self, module, batch, generator):
        difference = module.weight - batch["x"]
        return self.mistake(difference, generator)


OFFSETS = torch.linspace(0, 1, toy.WIDTH)
MISTAKES = {
    "noise of the processor": (
        lambda d, g: (d - torch.randn(d.shape, generator=g)).square().mean(),
        "on the same device",
    ),
    "a generator of the processor": (
        lambda d, g: (d - torch.randn(d.shape, generator=g, device=d.device)).square().mean(),
        "device type for generator",
    ),
    "a constant that stayed": (lambda d, _: (d - OFFSETS).square().mean(), "on the same device"),
    "a new tensor without a device": (lambda d, _: (d * torch.arange(toy.WIDTH)).square().mean(), "on the same device"),
    "targets that stayed": (lambda d, _: functional.mse_loss(d, torch.zeros(d.shape)), "on the same device"),
    "joined to what stayed": (lambda d, _: torch.cat([d, torch.zeros(1, toy.WIDTH)]).square().mean(), "same device"),
    "chosen with a mask that stayed": (
        lambda d, _: torch.where(torch.ones(d.shape, dtype=torch.bool), d, 0.0).square().mean(),
        "on the same device",
    ),
    "an index into what stayed": (
        lambda d, _: (d * OFFSETS[d.detach().argmin(dim=1)][:, None]).square().mean(),
        "indices should be",
    ),
    "through numpy": (
        lambda d, _: d.square().mean() * float(np.median(d.detach().numpy())),
        "to numpy",
    ),
    "as an array": (lambda d, _: d.square().mean() * float(np.asarray(d.detach()).sum()), "to numpy"),
    "written into what stayed": (
        lambda d, _: d.square().mean() + torch.zeros(d.shape).add_(d.detach()).mean(),
        "on the same device",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_planted_mistake_is_found_on_a_device_alone(name):
    mistake, message = MISTAKES[name]
    fitted(Planted(mistake), "cpu")
    with pretended() as there, pytest.raises((RuntimeError, TypeError), match=message):
        fitted(Planted(mistake), there.device)


WAITS = {
    "a number": lambda d, _: d.square().mean() * float(d.detach().sum()),
    "a question": lambda d, _: d.square().mean() if d.detach().sum() > 0 else d.abs().mean(),
    "a mask": lambda d, _: d[d.detach() > -9.0].square().mean(),
    "a list": lambda d, _: d.square().mean() * sum(d.detach().flatten().tolist()),
    "a tensor of the processor": lambda d, _: (d - OFFSETS.to(d.device)).square().mean(),
    "a new number": lambda d, _: (d - torch.tensor(0.5, device=d.device)).square().mean(),
    "a look at the other side": lambda d, _: d.square().mean() * d.detach().cpu().sum().to(d.device),
}


def waits(task, n_steps, **changed):
    with pretended() as there:
        fitted(task, there.device, n_steps, **changed)
        return sum(one.waits for one in there.events)


@pytest.mark.parametrize("name", WAITS)
def test_planted_wait_is_counted_once_a_step_at_least(name):
    assert waits(Planted(WAITS[name]), 5) - waits(Planted(WAITS[name]), 3) >= 2


def test_numbers_of_the_processor_go_beside_a_device_s_tensors():
    with pretended() as there:
        found = torch.ones(2, device=there.device) + torch.tensor(2.0)
        assert (found.device.type, found.cpu().tolist()) == ("pretended", [3.0, 3.0])
        with pytest.raises(RuntimeError, match="same device"):
            torch.ones(2) + torch.tensor(2.0, device=there.device)


def test_a_device_without_float64_refuses_it():
    with pretended(double=False) as there:
        assert torch.zeros(2, device=there.device).float().sum().item() == 0
        with pytest.raises(TypeError, match="float64"):
            torch.zeros(2, device=there.device).double()
        with pytest.raises(TypeError, match="float64"):
            torch.zeros((), dtype=torch.float64, device=there.device)


def test_in_inference_mode_what_is_brought_back_is_back():
    with pretended() as there, torch.inference_mode():
        back = torch.zeros(2, device=there.device).cpu()
        assert back.device.type == "cpu"
        assert [one.kind for one in there.events] == ["from"]
        assert (back + torch.ones(2)).numpy().tolist() == [1.0, 1.0]


def test_an_event_names_the_line_that_asked():
    with pretended() as there:
        float(torch.zeros(1, device=there.device))
    (event,) = there.events
    assert event.kind == "value"
    assert event.where.startswith(__file__)


@pytest.mark.parametrize("plan", [PLAN, TrainingPlan(optimizer="sgd", learning_rate=0.1, batch_size=4, ema_decay=0.9)])
def test_a_fit_on_a_device_gives_what_the_processor_does(plan):
    with pretended() as there:
        found = fitted(TASK, there.device, plan=plan)
    here = fitted(TASK, "cpu", plan=plan)
    assert same_bits(found.tensors, here.tensors)
    assert found.mean_loss == here.mean_loss


def test_rounds_of_every_strategy_give_what_they_do_on_the_processor(registry):
    for name, registered in registry.components["strategy"].items():
        spec = with_defaults(registered.spec, registered.spec.trial, name)
        here = Simulation(spec).run(1)
        elsewhere = Simulation(spec)
        with pretended(double=False) as there:
            elsewhere.adapted.module.to(there.device)
            found = elsewhere.run(1).outcome()
        assert all(same_bits(ours, theirs) for ours, theirs in zip(here.outcome(), found, strict=True)), name
