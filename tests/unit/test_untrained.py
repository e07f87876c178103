"""What does not travel is as it was at attach, after every fit and every evaluation."""

# ruff: noqa: ARG002 - protocols name what these broken pieces do not use
from __future__ import annotations

import sys

import pytest
import torch

from fedgen_bench.base.errors import PluginError
from fedgen_bench.contract.adapting import Adapted
from fedgen_bench.contract.data import Examples
from fedgen_bench.contract.messages import Fit
from fedgen_bench.contract.seeds import SeedTree
from fedgen_bench.federation.batches import FitStreams
from fedgen_bench.federation.parameters import dump_tensors
from fedgen_bench.federation.trainer import TrainingPlan, fit
from fedgen_bench.registry.datasets import Places
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.results.store import Store
from fedgen_bench.run.executor import Job
from fedgen_bench.run.runner import run_cells
from fedgen_bench.suite.cells import expand
from fedgen_bench.suite.load import load_suite
from fedgen_bench.testing import toy
from fedgen_bench.testing.tasks import check_training_leaves_no_trace

PLAN = TrainingPlan(optimizer="sgd", learning_rate=0.1, batch_size=4, local_steps=3)
STREAMS = FitStreams(SeedTree("t", "a", "p", "s", 1), 0, 0)
DATA = Examples({"x": torch.randn(12, 3, generator=torch.Generator().manual_seed(2)) + 3}, 12)


class Net(torch.nn.Module):
    """Batch norm before a linear layer, a frozen scale, a mask, and a cache that forward makes."""

    def __init__(self):
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(3)
        self.linear = torch.nn.Linear(3, 3)
        self.scale = torch.nn.Parameter(torch.ones(3), requires_grad=False)
        self.register_buffer("mask", torch.ones(3, dtype=torch.bool))
        self.register_buffer("mean", torch.zeros(3))

    def forward(self, x):
        self.register_buffer("cache", x.detach().clone())
        self.mean = 0.5 * self.mean + 0.5 * x.detach().mean(dim=0)  # assigned anew, not written in place
        if self.training:
            self.mask.logical_not_()
        return self.linear(self.norm(x)) * self.scale


class Task:
    def loss(self, module, batch, generator):
        return (module(batch["x"]) - batch["x"]).square().mean()


class MovesFrozen(Task):
    def loss(self, module, batch, generator):
        with torch.no_grad():
            module.scale.mul_(1.1)
        return super().loss(module, batch, generator)


class ExchangesFrozen(Task):
    def loss(self, module, batch, generator):
        module.scale = torch.nn.Parameter(2 * module.scale.detach(), requires_grad=False)
        return super().loss(module, batch, generator)


def adapted():
    torch.manual_seed(5)
    net = Net().eval()
    return Adapted(net, dict(net.linear.named_parameters()))


def rest(one):
    return {name: value.clone() for name, value in one.module.state_dict().items() if not name.startswith("linear")}


@pytest.fixture(autouse=True)
def _generator():
    with torch.random.fork_rng():
        yield


def test_buffers_are_put_back_after_a_fit():
    one = adapted()
    before, start = rest(one), dump_tensors(one.trainable)
    first = fit(one, Task(), DATA, Fit(start), PLAN, STREAMS, 3)
    after = rest(one)
    assert after.keys() == before.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    again = fit(one, Task(), DATA, Fit(start), PLAN, STREAMS, 3)
    assert all(torch.equal(first.tensors[name], again.tensors[name]) for name in start)


def test_buffers_are_put_back_after_a_fit_that_fails():
    one = adapted()
    before = rest(one)

    class Fails(Task):
        def loss(self, module, batch, generator):
            super().loss(module, batch, generator)
            raise ValueError("later")

    with pytest.raises(ValueError, match="later"):
        fit(one, Fails(), DATA, Fit(dump_tensors(one.trainable)), PLAN, STREAMS, 3)
    assert all(torch.equal(before[name], now) for name, now in rest(one).items())


@pytest.mark.parametrize("task", [MovesFrozen(), ExchangesFrozen()], ids=lambda one: type(one).__name__)
def test_frozen_parameter_that_a_fit_changes_is_refused_by_name(task):
    one = adapted()
    with pytest.raises(PluginError, match=f"{type(task).__name__}.loss changed `scale`, which is no tensor"):
        fit(one, task, DATA, Fit(dump_tensors(one.trainable)), PLAN, STREAMS, 3)


def test_evaluation_may_move_statistics_and_they_are_put_back():
    one = adapted()
    before = rest(one)
    with one.untrained.kept("observe"), torch.inference_mode():
        one.module.train()
        one.module(DATA.tensors["x"])
    assert all(torch.equal(before[name], now) for name, now in rest(one).items())


NORMED = """
import torch
from fedgen_bench import TaskSpec, hookimpl
from fedgen_bench.testing.toy import LoadedToy, Params, Toy


class Normed(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(3))
        self.norm = torch.nn.BatchNorm1d(3, affine=False)

    def forward(self, x):
        return self.norm(x)


class Loaded(LoadedToy):
    def new_module(self):
        return Normed().eval()

    def loss(self, module, batch, generator):
        return 0.5 * (module.weight - module(batch["x"])).square().sum(dim=1).mean()

    def observe(self, module, data, seeds):
        return {"loss": float(0.5 * (module.weight - module(data)).double().square().sum()), "n": float(len(data))}


class Remembers(Loaded):
    def new_module(self):
        module = super().new_module()
        module.n_losses = 0
        return module

    def loss(self, module, batch, generator):
        module.n_losses += 1
        return super().loss(module, batch, generator)

    def observe(self, module, data, seeds):
        return super().observe(module, data, seeds) | {"loss": float(module.n_losses)}


class Factory(Toy):
    def load(self, find):
        return Loaded(self.params)


@hookimpl
def register_tasks():
    return [TaskSpec(name="normed", summary="Toy behind batch norm.", build=Factory, params=Params)]
"""


@pytest.fixture(scope="module")
def normed(tmp_path_factory):
    path = tmp_path_factory.mktemp("plugin") / "normed_task.py"
    path.write_text(NORMED)
    return path


def result(registry, root, stop_after=None):
    suite = load_suite(registry.get("suite", "toy").spec, registry, ['task={name="normed"}'])
    cells = expand(suite, registry, contenders=["fedavg"], seeds=[1])

    def note(event):
        if event.kind == "round" and event.round_index == stop_after:
            raise KeyboardInterrupt

    with Store(root) as store:
        try:
            run_cells(
                cells, registry, Job(root, Places(), "cpu", registry.plugin_files), store, workers=1, on_event=note
            )
        except KeyboardInterrupt:
            return None
        (stored,) = store.runs("toy", 1)
    return stored.result


def test_batch_norm_gives_the_same_run_whole_and_resumed(normed, tmp_path):
    registry = load_registry([toy.__file__, normed])
    whole = result(registry, tmp_path / "whole")
    assert result(registry, tmp_path / "cut", stop_after=1) is None
    resumed = result(registry, tmp_path / "cut")
    assert whole.metrics == resumed.metrics
    assert whole.facts["final_sha256"] == resumed.facts["final_sha256"]


def test_contract_of_tasks_knows_what_remembers(normed):
    registry = load_registry([toy.__file__, normed])
    params = registry.get("task", "normed").spec.params()
    module = sys.modules["fedgen_plugin_normed_task"]
    check_training_leaves_no_trace(module.Loaded(params))
    with pytest.raises(AssertionError, match="remembers that it was trained"):
        check_training_leaves_no_trace(module.Remembers(params))
