from __future__ import annotations

import pytest

from fedgen_bench.base.errors import UsageError
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.suite.cells import expand
from fedgen_bench.suite.contenders import added_contenders
from fedgen_bench.suite.load import load_suite
from fedgen_bench.testing import toy

HALVES = """
from fedgen_bench import CompressorSpec, NoParams, hookimpl


class Halves:
    error_feedback = False

    def __init__(self, params):
        pass

    def compress(self, tensors):
        return {name: one.half() for name, one in tensors.items()}

    def decompress(self, tensors, like):
        return {name: one.to(like[name].dtype) for name, one in tensors.items()}


@hookimpl
def register_compressors():
    return [CompressorSpec(name=name, summary="", build=Halves) for name in ("halves", "full")]
"""


@pytest.fixture
def compressing(tmp_path):
    file = tmp_path / "halves.py"
    file.write_text(HALVES, encoding="utf-8")
    return load_registry([toy.__file__, file], environ={})


def test_added_strategy_is_the_reference_with_that_strategy(registry, toy_suite):
    suite = toy_suite()
    (added,) = added_contenders(suite, registry, ["fedprox"])
    reference = suite.contender[0]
    assert (added.name, added.strategy.name, added.ranked) == ("fedprox", "fedprox", True)
    assert (added.adapter, added.learning_rate, added.uplink) == (reference.adapter, reference.learning_rate, ())


def test_added_strategy_that_samples_no_clients_is_not_ranked(registry, toy_suite):
    (added,) = added_contenders(toy_suite(), registry, ["frozen"])
    assert not added.ranked


def test_added_adapter_is_the_reference_with_that_adapter(registry, toy_suite):
    (added,) = added_contenders(toy_suite(), registry, ["none"])
    assert (added.name, added.strategy.name, added.adapter.name) == ("none", "fedgen_edge", "none")


def test_added_component_has_the_parameters_behind_its_name_and_others_at_their_defaults(registry, toy_suite):
    asked = ["strategy/fedprox:mu=0.5", "fedprox:mu=1.0", "fedprox", "trimmed_mean:n_trimmed=0"]
    added = added_contenders(toy_suite(), registry, asked)
    assert [one.name for one in added] == ["fedprox:mu=0.5", "fedprox:mu=1.0", "fedprox", "trimmed_mean:n_trimmed=0"]
    assert [one.strategy.params for one in added] == [{"mu": 0.5}, {"mu": 1.0}, {}, {"n_trimmed": 0}]
    cells = expand(toy_suite(), registry, added=asked, seeds=[1])[-4:]
    assert [one.config.contender.strategy.params for one in cells[:2]] == [{"mu": 0.5}, {"mu": 1.0}]
    assert len({one.digest for one in cells}) == 4
    (alone,) = expand(toy_suite(), registry, added=asked[:1], contenders=["fedprox:mu=0.5"], seeds=[1])
    assert alone == cells[0]


def test_added_component_takes_lists_tables_and_bare_words(registry):
    suite = load_suite(registry.get("suite", "ptb").spec, registry)
    text = 'lora:targets=["c_attn","lm_head"]:ranks={lm_head=2}:alpha=8'
    (added,) = added_contenders(suite, registry, [text])
    assert added.name == text
    assert added.adapter.params == {"targets": ["c_attn", "lm_head"], "ranks": {"lm_head": 2}, "alpha": 8}
    (word,) = added_contenders(suite, registry, ["mechanism/secure_sum:bits=16"])
    assert word.mechanism.params == {"bits": 16}


def test_added_compressor_stands_on_the_uplink(compressing):
    suite = load_suite(compressing.get("suite", "toy").spec, compressing)
    (added,) = added_contenders(suite, compressing, ["halves"])
    assert [one.name for one in added.uplink] == ["halves"]
    assert (added.strategy.name, added.adapter.name, added.downlink) == ("fedgen_edge", "full", ())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fedpox", "Unknown component `fedpox`. Did you mean `fedprox`?"),
        ("fedavg", "has a contender `fedavg` already. Choose it with `--contender fedavg`."),
        ("full", "`adapter/full`, `compressor/full`"),
        ("iid", "--set 'partitioner={name=\"iid\"}'"),
        ("toy_loss", "--set 'evaluation.other_metrics=[\"toy_loss\"]'"),
        ("csv", "`csv` is a table format, which is no part of a contender."),
        ("fedprox:nu=1", "strategy.nu of `fedprox:nu=1`: Unknown parameter `nu`. Did you mean `mu`?"),
        ("fedprox:mu=-1", "strategy of `fedprox:mu=-1`: mu"),
        ("fedprox:mu=1:mu=2", "gives `mu` twice"),
        ("fedprox:mu", "names no contender. Write NAME, or NAME:key=value"),
        ("fedprox:mu=a|b", "names no contender"),
        ("iid:x=1", "--set 'partitioner={name=\"iid\"}'"),
    ],
)
def test_added_contender_that_cannot_be_is_refused_with_what_to_do(name, message, compressing):
    suite = load_suite(compressing.get("suite", "toy").spec, compressing)
    with pytest.raises(UsageError) as caught:
        added_contenders(suite, compressing, [name])
    assert message in str(caught.value)


def test_component_of_two_kinds_is_added_by_kind(compressing):
    suite = load_suite(compressing.get("suite", "toy").spec, compressing)
    (added,) = added_contenders(suite, compressing, ["compressor/full"])
    assert [one.name for one in added.uplink] == ["full"]


@pytest.mark.parametrize("setting", ['partitioner={name="iid"}', 'evaluation.other_metrics=["toy_loss"]'])
def test_settings_that_a_refusal_names_are_accepted(setting, toy_suite):
    toy_suite(setting)


def test_expand_puts_added_contenders_after_the_suites_own_and_filters_them(registry, toy_suite):
    cells = expand(toy_suite(), registry, added=["fedprox"], seeds=[1])
    assert [one.contender for one in cells] == ["fedgen_edge", "fedavg", "local_only", "centralized", "fedprox"]
    (alone,) = expand(toy_suite(), registry, added=["fedprox"], contenders=["fedprox"], seeds=[1])
    assert alone == cells[-1]
    assert alone.off_suite == ()
