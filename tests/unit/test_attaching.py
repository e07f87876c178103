"""An adapter that does not fit its backbone or task is told in one sentence before anything is trained."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from fedgen_bench.base.errors import DataError, PluginError
from fedgen_bench.contract.adapting import Adapted, factors_problem, wrap_with_peft
from fedgen_bench.contract.contexts import LowRank
from fedgen_bench.contract.seeds import seeded_globals
from fedgen_bench.federation import attaching
from fedgen_bench.federation.attaching import attach
from fedgen_bench.suite.schema import Component
from fedgen_bench.testing.adapters import SEEDS


@pytest.fixture
def attached(monkeypatch):
    """What `attach` makes of an adapter whose `attach` gives or raises a value, on a task."""

    def run(given, *, low_rank=False, task=None):
        def attach_it(*_):
            if isinstance(given, Exception):
                raise given
            return given

        adapter = SimpleNamespace(attach=attach_it)
        monkeypatch.setattr(attaching, "build", lambda *_: adapter)
        registry = SimpleNamespace(get=lambda *_: SimpleNamespace(spec=SimpleNamespace(low_rank=low_rank)))
        task = task or SimpleNamespace(new_module=lambda: None)
        return attach(registry, Component(name="mine"), task, SEEDS)

    return run


def test_what_an_adapter_refuses_is_its_own_sentence_under_its_name(attached):
    with pytest.raises(PluginError, match=r"Adapter `mine` does not fit this backbone: No such layer\. Choose another"):
        attached(ValueError("No such layer. Choose another."))


def test_low_rank_is_never_silently_empty_or_partial(attached):
    weight = nn.Parameter(torch.ones(1))
    pair = LowRank("m", "a", "b", 1, 1.0)
    with pytest.raises(PluginError, match=r"declares `low_rank`, but `embedding` is in only one"):
        attached(Adapted(nn.Identity(), {"embedding": weight}), low_rank=True)
    with pytest.raises(PluginError, match=r"`embedding` is in only one"):
        attached(Adapted(nn.Identity(), {"a": weight, "b": weight, "embedding": weight}, (pair,)), low_rank=True)
    with pytest.raises(PluginError, match=r"but it trains no factors\."):
        attached(Adapted(nn.Identity(), {}), low_rank=True)
    whole = Adapted(nn.Identity(), {"a": weight, "b": weight}, (pair,))
    assert attached(whole, low_rank=True) is whole


def test_positions_before_the_text_must_be_left_by_the_text(attached):
    adapted = Adapted(nn.Identity(), {}, positions=16)
    for free in (None, 16):
        assert attached(adapted, task=SimpleNamespace(new_module=lambda: None, free_positions=free)) is adapted
    with pytest.raises(DataError, match=r"`mine` takes 16 positions .* leaves 15\. Give the adapter fewer tokens"):
        attached(adapted, task=SimpleNamespace(new_module=lambda: None, free_positions=15))


@pytest.mark.parametrize("layer", [nn.Embedding(4, 3), nn.Conv2d(2, 2, 3)], ids=["embedding", "convolution"])
def test_peft_factors_of_what_is_not_linear_are_not_taken_for_factors(layer):
    from peft import LoraConfig

    module = nn.ModuleDict({"linear": nn.Linear(3, 3), "other": layer})
    adapted = wrap_with_peft(module, LoraConfig(r=2, target_modules=["linear", "other"]), SEEDS)
    assert adapted.low_rank == ()
    assert factors_problem(adapted).endswith("`low_rank` (4 such names)")
    alone = wrap_with_peft(
        nn.ModuleDict({"linear": nn.Linear(3, 3)}), LoraConfig(r=2, target_modules=["linear"]), SEEDS
    )
    assert factors_problem(alone) == ""


def test_llama_under_targets_of_gpt2_is_one_sentence_and_under_the_defaults_fits(registry):
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1}
    with seeded_globals(3):
        llama = LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=4)).eval()
    task = SimpleNamespace(new_module=lambda: llama)
    with pytest.raises(
        PluginError, match=r"Adapter `lora` does not fit .*`c_attn` names no module .* q_proj, .*Choose"
    ):
        attach(registry, Component(name="lora", params={"targets": ["c_attn"]}), task, SEEDS)
    modules = {
        pair.module.rsplit(".", 1)[-1] for pair in attach(registry, Component(name="lora"), task, SEEDS).low_rank
    }
    assert modules == {"q_proj", "v_proj"}
