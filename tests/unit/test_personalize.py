"""How a client goes on before its personalised score is taken is the strategy's to say."""

from __future__ import annotations

import pytest
import torch

from fedgen_bench.contract.contexts import ClientContext, LowRank
from fedgen_bench.contract.seeds import SeedTree
from fedgen_bench.registry.datasets import Places
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.results.store import Store
from fedgen_bench.run.executor import Job
from fedgen_bench.run.runner import run_cells
from fedgen_bench.suite.cells import expand
from fedgen_bench.suite.load import load_suite
from fedgen_bench.testing import toy

A, B = "m.lora_A.weight", "m.lora_B.weight"
KEEP = {B: torch.full((3, 1), 2.0)}
STRATEGIES = """
from fedgen_bench import Fit, StrategySpec, hookimpl
from fedgen_bench_baselines.fedavg import FedAvg


class Silent(FedAvg):
    pass


class Plain(FedAvg):
    def personalize(self, state, ctx):
        return Fit(start=state.tensors)


class Afresh(FedAvg):
    def personalize(self, state, ctx):
        return Fit(start=ctx.start)


class Wordless(FedAvg):
    def personalize(self, state, ctx):
        return state.tensors


class Elsewhere(FedAvg):
    def personalize(self, state, ctx):
        return Fit(start=state.tensors, trainable=frozenset({"absent"}))


@hookimpl
def register_strategies():
    return [StrategySpec(name=one.__name__.lower(), summary="A test's.", build=one)
            for one in (Silent, Plain, Afresh, Wordless, Elsewhere)]
"""


def context(round_index: int, keep: dict[str, torch.Tensor]) -> ClientContext:
    start = {A: torch.ones(1, 2), B: torch.zeros(3, 1)}
    pairs = (LowRank("m", A, B, 1, 1.0),)
    return ClientContext(round_index, 0, 2, 5, start, keep, 4, 0.1, SeedTree("t", "a", "p", "s", 1), low_rank=pairs)


def made(registry, name, ctx, **params):
    """The strategy's request after no round, and the initial state that it stands on."""
    spec = registry.get("strategy", name).spec
    strategy = spec.build(spec.params(**params))
    state = strategy.init(ctx.start, None)
    return strategy.personalize(state, ctx), strategy.export(state, ctx)


def test_dittos_model_goes_on_under_its_pull_to_the_global_one(registry):
    own = {A: torch.full((1, 2), 3.0), B: torch.ones(3, 1)}
    ctx = context(2, own)
    request, _ = made(registry, "ditto", ctx, lam=0.7)
    assert request.start is own
    assert request.penalty.mu == 0.7
    assert request.penalty.anchor is ctx.start


@pytest.mark.parametrize(
    ("name", "round_index", "params", "trained"),
    [
        ("ffa_lora", 3, {}, {B}),
        ("fedsa_lora", 3, {}, {B}),
        ("rolora", 2, {}, {B}),
        ("rolora", 3, {}, {A}),
        ("fedper", 3, {"personal": ("*lora_B*",)}, {B}),
    ],
)
def test_parts_that_a_method_freezes_or_shares_stay(registry, name, round_index, params, trained):
    request, exported = made(registry, name, context(round_index, KEEP), **params)
    assert request.trainable == trained
    assert request.start.keys() == exported.keys()
    assert all(torch.equal(request.start[one], exported[one]) for one in exported)


def test_fedper_with_nothing_personal_goes_on_as_fedavg(registry):
    request, _ = made(registry, "fedper", context(3, {}), personal=())
    assert request.trainable is None


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """The toy suite with the strategies above: event and stored result by contender."""
    folder = tmp_path_factory.mktemp("personalize")
    plugin = folder / "own.py"
    plugin.write_text(STRATEGIES)
    registry = load_registry([toy.__file__, plugin])
    suite = load_suite(registry.get("suite", "toy").spec, registry, ["federation.rounds=2"])
    cells = expand(suite, registry, contenders=["silent", "plain", "afresh", "wordless", "elsewhere"], seeds=[1])
    with Store(folder / "runs") as store:
        job = Job(folder / "runs", Places(), "cpu", registry.plugin_files)
        events = run_cells(cells, registry, job, store, workers=1, on_event=lambda _: None)
        found = {one.spec.contender: one.result for one in store.runs("toy", suite.suite.version)}
    return {cell.contender: (event, found[cell.contender]) for cell, event in zip(cells, events, strict=True)}


def test_a_run_personalises_as_its_strategy_says(ended):
    silent, plain, afresh = (ended[name][1].per_client for name in ("silent", "plain", "afresh"))
    assert silent == plain
    assert silent["global"] == afresh["global"]
    assert silent["personalized"] != afresh["personalized"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("wordless", "Wordless.personalize returned a"),
        ("elsewhere", "Fit.trainable names `absent`, which the adapter does not have"),
    ],
)
def test_what_personalize_gets_wrong_is_told_before_the_first_round(ended, name, said):
    event, result = ended[name]
    assert (event.status, result.status) == ("failed", "failed")
    assert said in event.reason
    assert not result.metrics


def test_personalize_with_other_arguments_is_refused(registry):
    from fedgen_bench.federation.components import broken_method

    spec = registry.get("strategy", "ditto").spec

    class Wanting(spec.build):
        def personalize(self, state):
            return state

    said = broken_method("strategy", Wanting(spec.params()))
    assert said is not None
    assert "called as `personalize(state, ctx)`" in said
