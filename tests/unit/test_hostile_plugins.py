"""One plugin's failure is its cell's status, named, and nothing of it reaches the cells beside it."""

from __future__ import annotations

import pytest
import torch

from fedgen_bench.registry.datasets import Places
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.results.store import Store
from fedgen_bench.run.executor import Job
from fedgen_bench.run.runner import run_cells
from fedgen_bench.suite.cells import expand
from fedgen_bench.suite.load import load_suite
from fedgen_bench.testing import toy

STRATEGY = """
from fedgen_bench import StrategySpec, hookimpl
from fedgen_bench.base.errors import StoreError
from fedgen_bench_baselines.fedavg import FedAvg


class Own(BaseException):
    pass


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no words")

    def __reduce__(self):
        raise RuntimeError("no pickle")


def bad(*around):
    import os, random, torch, warnings

    {bad}


class Hostile(FedAvg):
    {method}


@hookimpl
def register_strategies():
    return [StrategySpec(name="hostile", summary="It breaks things.", build=Hostile)]
"""
METHODS = {
    "init": "def init(self, start, ctx):\n        bad(start)\n        return super().init(start, ctx)",
    "send": "def send(self, state, ctx):\n        bad(ctx.start)\n        return super().send(state, ctx)",
    "client": "def client(self, payload, ctx):\n        update = yield from super().client(payload, ctx)\n"
    "        bad(ctx.start)\n        return update",
    "aggregate": "def aggregate(self, state, updates, ctx):\n        new = super().aggregate(state, updates, ctx)\n"
    "        bad(state.tensors)\n        return new",
    "export": "def export(self, state, ctx):\n        bad(state.tensors)\n        return super().export(state, ctx)",
}
RAISES = {
    "raise SystemExit(0)": "raised SystemExit: 0",
    "raise KeyboardInterrupt": "raised KeyboardInterrupt",
    "raise GeneratorExit": "raised GeneratorExit",
    "raise Own('x')": "raised Own: x",
    "raise StoreError('full')": "raised StoreError: full",
    "raise Mute": "Mute: (its message cannot be had",
}
LEAKS = {
    "torch.set_default_dtype(torch.float64)": "torch's default dtype",
    "torch.set_num_threads(torch.get_num_threads() + 1)": "torch's number of threads",
    "random.random()": "moved the global generator of random",
    "os.environ.update(ODD='1')": "environment variables",
    "around[0]['weight'].add_(1)": "in place",
}
RAISED = [("client", one) for one in RAISES] + [(one, "raise SystemExit(0)") for one in METHODS if one != "client"]
LEFT = [("client", one) for one in LEAKS] + [(one, "around[0]['weight'].add_(1)") for one in METHODS if one != "client"]


def run(tmp_path, method, bad):
    """The hostile strategy, then a good one, in one process: (status, reason) by contender."""
    plugin = tmp_path / "hostile.py"
    plugin.write_text(STRATEGY.format(method=METHODS[method], bad=bad))
    registry = load_registry([toy.__file__, plugin])
    suite = load_suite(registry.get("suite", "toy").spec, registry, ["federation.rounds=1"])
    cells = expand(suite, registry, contenders=["hostile", "fedavg"], added=["hostile"], seeds=[1])[::-1]
    with Store(tmp_path / "runs") as store:
        job = Job(tmp_path / "runs", Places(), "cpu", registry.plugin_files)
        ended = run_cells(cells, registry, job, store, workers=1, on_event=lambda _: None)
    return {event.run.split("/")[1]: (event.status, event.reason) for event in ended}


@pytest.mark.parametrize(("method", "bad"), RAISED)
def test_whatever_a_strategy_raises_is_its_cells_failure(tmp_path, method, bad):
    ended = run(tmp_path, method, bad)
    status, reason = ended["hostile"]
    assert status == "failed"
    assert RAISES[bad] in reason
    assert "hostile.py:" in reason
    assert ended["fedavg"][0] == "done"


@pytest.mark.parametrize(("method", "bad"), LEFT)
def test_whatever_a_strategy_leaves_changed_is_its_cells_failure(tmp_path, method, bad):
    ended = run(tmp_path, method, bad)
    status, reason = ended["hostile"]
    assert status == "failed"
    assert LEAKS[bad] in reason
    assert f"Hostile.{method}" in reason
    assert ended["fedavg"][0] == "done"
    assert torch.get_default_dtype() == torch.float32


ENGINE = """
import dataclasses
from fedgen_bench import AttackSpec, EngineSpec, hookimpl


class Lies:
    def __init__(self, params):
        pass

    def run(self, tasks, work):
        for task in tasks:
            yield {lie}

    def close(self):
        pass


class Short:
    def __init__(self, params):
        pass

    def distort(self, tensors, received, generator):
        return {{name: one[:1] for name, one in tensors.items()}}


@hookimpl
def register_engines():
    return [EngineSpec(name="lies", summary="It lies.", build=Lies)]


@hookimpl
def register_attacks():
    return [AttackSpec(name="short", summary="It cuts.", build=Short)]
"""
LIES = {
    "dataclasses.replace(work.run(task), n_examples=10**18)": "trained on 1000000000000000000 examples",
    "dataclasses.replace(work.run(task), n_examples=-3)": "trained on -3 examples",
    "dataclasses.replace(work.run(task), mean_loss=float('nan'))": "gave the mean loss nan",
    "dataclasses.replace(work.run(task), mean_loss='low')": "gave the mean loss 'low'",
    "work": "gave a ClientWork",
    "(_ for _ in ()).throw(SystemExit(0))": "Lies.run raised SystemExit: 0",
}


def run_fedavg(tmp_path, lie, engine="lies", overrides=()):
    plugin = tmp_path / "liar.py"
    plugin.write_text(ENGINE.format(lie=lie))
    registry = load_registry([toy.__file__, plugin])
    suite = load_suite(registry.get("suite", "toy").spec, registry, ["federation.rounds=1", *overrides])
    cells = expand(suite, registry, contenders=["fedavg"], seeds=[1, 2])
    with Store(tmp_path / "runs") as store:
        job = Job(tmp_path / "runs", Places(), "cpu", registry.plugin_files, engine)
        return run_cells(cells, registry, job, store, workers=1, on_event=lambda _: None)


@pytest.mark.parametrize("lie", LIES)
def test_what_an_engine_says_beside_the_message_is_not_believed(tmp_path, lie):
    for event in run_fedavg(tmp_path, lie):
        assert event.status == "failed"
        assert LIES[lie] in event.reason
        assert "Lies.run" in event.reason


def test_attack_of_the_wrong_shape_is_blamed_under_every_seed_before_the_first_round(tmp_path):
    attack = 'attack={name="short", fraction=0.2}'
    for event in run_fedavg(tmp_path, "work.run(task)", overrides=[attack]):
        assert event.status == "failed"
        assert "Short.distort gives `weight` as torch.float32 of shape (1,)" in event.reason
