"""Soft prompts and prefixes on many architectures: they begin as words do, or are refused in one sentence."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch
import transformers as tf

from fedgen_bench.contract.params import make_params
from fedgen_bench.contract.prompting import positions_of
from fedgen_bench.contract.seeds import seeded_globals
from fedgen_bench.testing.adapters import SEEDS

SIZES = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2}
DECODER = {
    **SIZES, "intermediate_size": 48, "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
}  # fmt: skip


@pytest.fixture(scope="module")
def models():
    """Small random models by architecture."""
    with seeded_globals(3):
        return {
            "gemma": tf.GemmaForCausalLM(tf.GemmaConfig(**DECODER, head_dim=8)).eval(),
            "gemma3": tf.Gemma3ForCausalLM(tf.Gemma3TextConfig(**DECODER, head_dim=8)).eval(),
            "llama": tf.LlamaForCausalLM(tf.LlamaConfig(**DECODER)).eval(),
            "bloom": tf.BloomForCausalLM(tf.BloomConfig(vocab_size=64, hidden_size=32, n_layer=2, n_head=4)).eval(),
            "mamba": tf.MambaForCausalLM(tf.MambaConfig(**SIZES)).eval(),
            "opt": tf.OPTForCausalLM(
                tf.OPTConfig(
                    **SIZES, ffn_dim=48, num_attention_heads=4, max_position_embeddings=64, word_embed_proj_dim=16
                )
            ).eval(),
        }


@pytest.fixture(scope="module")
def attach(registry):
    def make(name, module, **values):
        spec = registry.get("adapter", name).spec
        params, problems = make_params(spec.params, values)
        assert problems == []
        return spec.build(params).attach(copy.deepcopy(module), SEEDS)

    return make


REFUSED = {("prefix", "mamba")}
TEXT = torch.arange(6)[None] * 5


@pytest.mark.parametrize("model", ["gemma", "gemma3", "llama", "bloom", "mamba", "opt"])
def test_soft_prompt_begins_as_words_also_where_embeddings_are_scaled(model, models, attach):
    plain = models[model]
    words = torch.randperm(64, generator=SEEDS.torch("adapter", purpose="prompt"))[:5]
    adapted = attach("prompt", plain, n_tokens=5)
    with torch.no_grad():
        expected = plain(input_ids=torch.cat([words[None], TEXT], dim=1)).logits[:, 5:]
        found = adapted.module(input_ids=TEXT).logits[:, -6:]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert adapted.positions == 5


def test_random_soft_prompt_has_the_spread_of_what_the_model_reads(models, attach):
    gemma = models["gemma3"]
    read = gemma.get_input_embeddings()(torch.arange(64)).std().item()
    assert read == pytest.approx(gemma.get_input_embeddings().weight.std().item() * 32**0.5, rel=1e-3)
    prompt = attach("prompt", gemma, n_tokens=40, init="random").trainable["prompt"]
    assert prompt.std().item() == pytest.approx(read, rel=0.1)


@pytest.mark.parametrize("name", ["prompt", "prefix"])
@pytest.mark.parametrize("model", ["gemma", "gemma3", "llama", "bloom", "mamba", "opt"])
def test_architectures_take_it_or_it_is_refused_in_one_sentence(name, model, models, attach):
    if (name, model) in REFUSED:
        with pytest.raises(ValueError, match=r"\AA \w+ [^\n]{20,250}\. Choose another adapter\.\Z"):
            attach(name, models[model], n_tokens=5)
        return
    adapted = attach(name, models[model], n_tokens=5)
    assert adapted.positions == 5
    adapted.module.train()
    adapted.module(input_ids=TEXT).logits.sum().backward()
    assert all(one.grad is not None for one in adapted.trainable.values())


def test_prefix_is_refused_where_nothing_is_cached(models, attach):
    with pytest.raises(ValueError, match=r"A MambaForCausalLM does not keep keys and values"):
        attach("prefix", models["mamba"], n_tokens=5)


def test_soft_prompt_of_more_tokens_than_the_vocabulary_is_refused(models, attach):
    with pytest.raises(ValueError, match=r"n_tokens is 70, the vocabulary has 64 tokens\. Lower n_tokens"):
        attach("prompt", models["mamba"], n_tokens=70)


@pytest.mark.parametrize(("positions", "expected"), [(64, 64), (-1, None), (None, None)])
def test_positions_without_limit_are_none(positions, expected):
    assert positions_of(SimpleNamespace(config=SimpleNamespace(max_position_embeddings=positions))) == expected
    assert positions_of(SimpleNamespace()) is None
