"""Quantised backbones, where bitsandbytes is there: adapters train through them, nothing trains or folds them."""

from __future__ import annotations

import pytest
import torch
from fedgen_bench_plugins.backbones.loading import load_backbone
from fedgen_bench_plugins.backbones.options import Loading
from fedgen_bench_plugins.backbones.shipped import locate
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from fedgen_bench.base.errors import PluginError
from fedgen_bench.contract.copies import private_copy
from fedgen_bench.contract.seeds import SeedTree
from fedgen_bench.federation.attaching import attach
from fedgen_bench.suite.schema import Component

pytest.importorskip("bitsandbytes")
SEEDS = SeedTree("task", "adapter", "partitioner", "strategy", 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("llama")
    tokenizer = AutoTokenizer.from_pretrained(locate("tiny-wire-lm"))
    tokenizer.save_pretrained(where)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128,
        max_position_embeddings=64, bos_token_id=None, eos_token_id=1,
    )  # fmt: skip
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(where)
    return str(where)


class Task:
    """As far as attaching goes."""

    def __init__(self, module):
        self.module = module

    def new_module(self):
        return private_copy(self.module)


@pytest.mark.parametrize("kind", ["8bit", "4bit"])
def test_adapters_train_through_quantised_weights_and_nothing_else_does(registry, folder, kind):
    plain = load_backbone(folder)
    found = load_backbone(folder, loading=Loading(quantization=kind, dtype="bf16"))
    tokens = torch.arange(20)[None]
    sizes = [sum(one.nbytes for one in backbone.module.parameters()) for backbone in (found, plain)]
    assert sizes[0] < 0.45 * sizes[1]
    assert found.n_parameters == plain.n_parameters
    chosen = {"lora": {"targets": ("q_proj", "v_proj")}, "layernorm": {}, "prompt": {"n_tokens": 4}}
    for name, params in chosen.items():
        adapted = attach(registry, Component(name=name, params=params), Task(found.module), SEEDS)
        adapted.module.train()
        trained = [one.requires_grad_() for one in adapted.trainable.values()]
        loss = adapted.module(input_ids=tokens).logits.square().mean()
        given = torch.autograd.grad(loss, trained)
        assert all(one.dtype == torch.float32 for one in given)
        assert sum(float(one.abs().sum()) for one in given) > 0
        assert adapted.backbone is None
    with pytest.raises(PluginError, match="which the backbone stores quantised: it has no gradient"):
        attach(registry, Component(name="full"), Task(found.module), SEEDS)
    with pytest.raises(PluginError, match="which the backbone stores quantised: it has no gradient"):
        attach(registry, Component(name="last_layer"), Task(found.module), SEEDS)
