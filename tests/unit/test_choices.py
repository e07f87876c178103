"""Choices that cannot work are refused before anything is trained, each with what would."""

# ruff: noqa: ARG002 - protocols name what these broken pieces do not use
from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fedgen_bench import Fit, Payload, Update
from fedgen_bench.base.errors import PluginError, SuiteError, UsageError, WireError
from fedgen_bench.contract.specs import SuiteSource
from fedgen_bench.federation.components import broken_method
from fedgen_bench.federation.compression import Chain, Uplink
from fedgen_bench.federation.link import Link
from fedgen_bench.federation.rehearsal import rehearse
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.suite.cells import expand
from fedgen_bench.suite.load import load_suite

LORA = "adapter.name='lora'"


def refused(registry, suite, *overrides):
    with pytest.raises(SuiteError) as caught:
        load_suite(registry.get("suite", suite).spec, registry, overrides)
    return str(caught.value)


def test_method_on_factors_refuses_an_adapter_without_them(registry):
    text = refused(registry, "quick", "contender.fedavg_full.strategy.name='ffa_lora'")
    assert "strategy `ffa_lora` works on LoRA factors, adapter `full` has none" in text
    assert "`lora`" in text


def test_folding_method_refuses_an_adapter_that_cannot(registry):
    text = refused(registry, "quick", "contender.prompt_tuning.strategy.name='flora'")
    assert "strategy `flora` folds updates into the backbone, adapter `prompt` has none" in text


@pytest.mark.parametrize("name", ["fedgen_edge", "fedgen_edge_interpolated", "feddpa"])
def test_averaging_strategy_refuses_mixed_ranks_and_names_those_that_take_them(registry, name):
    path = "contender.fedgen_edge"
    strategy = f"{path}.strategy={{ name = '{name}' }}"
    text = refused(registry, "quick", strategy, f"{path}.adapter.name='mixed_lora'", f"{path}.adapter.params={{}}")
    assert f"its clients have different ranks, and strategy `{name}` needs factors of one rank" in text
    assert "`flexlora`, `flora`, `hetlora`" in text


def test_scaffold_refuses_adam_and_names_a_contender_that_works(registry):
    text = refused(registry, "quick", "contender.fedavg_full.strategy.name='scaffold'")
    assert 'strategy `scaffold` holds for training.optimizer = "sgd", the suite has "adamw"' in text
    assert "Contender `fedgen_edge` would work under it." in text


def test_scaffold_is_taken_under_plain_sgd(registry):
    overrides = ["contender.fedavg_full.strategy.name='scaffold'", "training.optimizer='sgd'"]
    source = registry.get("suite", "quick").spec
    plain = replace(source, text=source.text.replace("clip_norm = 1.0\n", ""))
    assert load_suite(plain, registry, overrides)


@pytest.mark.parametrize("setting", ["clip_norm", "ema_decay"])
def test_scaffold_refuses_what_makes_its_control_variates_no_gradients(registry, setting):
    overrides = [
        "contender.fedavg_full.strategy.name='scaffold'",
        "training.optimizer='sgd'",
        f"training.{setting}=0.5",
    ]
    text = refused(registry, "quick", *overrides)
    assert f"strategy `scaffold` reads gradients off a client's change, which training.{setting} = 0.5 alters" in text


def test_unknown_compressor_and_attack_are_told_with_their_line(registry):
    source = registry.get("suite", "ptb-byzantine").spec
    text = source.text.replace('name = "sign_flip"', 'name = "sign_flop"')
    with pytest.raises(SuiteError, match=r"broken.toml:\d+: Unknown attack `sign_flop`. Did you mean `sign_flip`\?"):
        load_suite(SuiteSource(name="broken", text=text, path="broken.toml"), registry)
    source = registry.get("suite", "ptb-compression").spec
    text = source.text.replace('{ name = "fp16" }', '{ name = "fp61" }')
    with pytest.raises(SuiteError, match=r"Unknown compressor `fp61`"):
        load_suite(SuiteSource(name="broken", text=text, path="broken.toml"), registry)


def test_plugin_file_that_cannot_be_a_contender_says_why(tmp_path):
    file = tmp_path / "plain.py"
    file.write_text(
        "from fedgen_bench import StrategySpec, hookimpl\n"
        "@hookimpl\n"
        "def register_strategies():\n"
        "    return [StrategySpec(name='plain', summary='', build=object, optimizers=('sgd',))]\n"
    )
    registry = load_registry([file], environ={})
    suite = load_suite(registry.get("suite", "quick").spec, registry)
    with pytest.raises(UsageError, match=r'strategy `plain` holds for training.optimizer = "sgd"'):
        expand(suite, registry)


class Plain:
    """A strategy that works; the others change one thing."""

    def init(self, start, ctx):
        return dict(start)

    def send(self, state, ctx):
        return Payload(state)

    def client(self, payload, ctx):
        fit = yield Fit(payload.tensors)
        return Update(fit.tensors, fit.n_examples)

    def aggregate(self, state, updates, ctx):
        return next(iter(updates)).tensors

    def export(self, state, ctx):
        return state


class WithoutExport(Plain):
    export = None


class WrongArguments(Plain):
    def send(self, state):
        return Payload(state)


class NoGenerator(Plain):
    def client(self, payload, ctx):
        return Update(payload.tensors, 1)


@pytest.mark.parametrize(
    ("strategy", "problem"),
    [
        (Plain, None),
        (WithoutExport, "it has no method `export(state, ctx)`. Add it."),
        (WrongArguments, "`send(state)` is called as `send(state, ctx)`. Mend its arguments."),
        (NoGenerator, "`client` never yields. Yield a `Fit` request to train."),
    ],
)
def test_broken_method_is_named(strategy, problem):
    assert broken_method("strategy", strategy()) == problem


class NeverYields(Plain):
    def client(self, payload, ctx):
        yield from ()
        return Update(payload.tensors, ctx.n_examples)


class ReturnsNothing(Plain):
    def client(self, payload, ctx):
        yield Fit(payload.tensors)


class UnknownKeys(Plain):
    def client(self, payload, ctx):
        fit = yield Fit(payload.tensors)
        return Update({**fit.tensors, "extra": torch.ones(1)}, fit.n_examples)


class OddStart(Plain):
    def client(self, payload, ctx):
        fit = yield Fit({"other": torch.ones(3)})
        return Update(fit.tensors, fit.n_examples)


class ExportsLess(Plain):
    def export(self, state, ctx):
        return {}


@pytest.mark.parametrize(
    ("strategy", "problem"),
    [
        (NeverYields, "never yielded"),
        (ReturnsNothing, "returned a NoneType"),
        (UnknownKeys, "Tensor `extra` was not asked for. Return the tensors that were sent"),
        (OddStart, "do not match the adapter's"),
        (ExportsLess, "exports what the adapter cannot load"),
    ],
)
def test_rehearsal_refuses_a_broken_strategy_before_training(toy_experiment, monkeypatch, strategy, problem):
    from dataclasses import replace

    from fedgen_bench.federation import client_work

    def trained(*_):
        raise AssertionError("something was trained")

    monkeypatch.setattr(client_work, "fit", trained)
    experiment = replace(toy_experiment("fedavg"), strategy=strategy())
    state = experiment.strategy.init(experiment.start, experiment.server_context())
    with pytest.raises(PluginError, match=problem):
        rehearse(experiment, state)


def test_rehearsal_lets_every_built_in_contender_of_the_toy_suite_pass(toy_experiment):
    for name in ("fedgen_edge", "fedavg", "local_only", "centralized"):
        experiment = toy_experiment(name)
        rehearse(experiment, experiment.strategy.init(experiment.start, experiment.server_context()))


class Breaking:
    """A compressor that cannot take back what it gave."""

    error_feedback = False

    def compress(self, tensors):
        return tensors

    def decompress(self, tensors, like):
        raise ValueError("boom")


def test_a_compressor_that_breaks_in_the_rehearsal_is_not_called_the_strategy_s_fault(toy_experiment):
    plain = toy_experiment("fedavg")
    experiment = replace(plain, link=Link(uplink=Uplink(chain=Chain((Breaking(),)))))
    with pytest.raises(WireError, match=r"^The compressed update cannot be decompressed: boom\.$"):
        rehearse(experiment, experiment.strategy.init(experiment.start, experiment.server_context()))
