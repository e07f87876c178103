"""Soft prompts and prefixes on many architectures: they begin as words do, or are refused in one sentence."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch
from families import FAMILIES, N_POSITIONS, tiny

from fedgen_bench.contract.params import make_params
from fedgen_bench.contract.prompting import positions_of
from fedgen_bench.testing.adapters import SEEDS


@pytest.fixture(scope="module")
def attach(registry):
    def make(name, module, **values):
        spec = registry.get("adapter", name).spec
        params, problems = make_params(spec.params, values)
        assert problems == []
        return spec.build(params).attach(copy.deepcopy(module), SEEDS)

    return make


REFUSED = {("prefix", "Mamba")}
TEXT = torch.arange(6)[None] * 5


@pytest.mark.parametrize("family", FAMILIES)
def test_soft_prompt_begins_as_words_also_where_embeddings_are_scaled(family, attach):
    plain = tiny(family)
    words = torch.randperm(64, generator=SEEDS.torch("adapter", purpose="prompt"))[:5]
    adapted = attach("prompt", plain, n_tokens=5)
    with torch.no_grad():
        expected = plain(input_ids=torch.cat([words[None], TEXT], dim=1)).logits[:, 5:]
        found = adapted.module(input_ids=TEXT).logits[:, -6:]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert adapted.positions == 5


def test_random_soft_prompt_has_the_spread_of_what_the_model_reads(attach):
    gemma = tiny("Gemma 3")
    read = gemma.get_input_embeddings()(torch.arange(64)).std().item()
    assert read == pytest.approx(gemma.get_input_embeddings().weight.std().item() * 32**0.5, rel=1e-3)
    prompt = attach("prompt", gemma, n_tokens=40, init="random").trainable["prompt"]
    assert prompt.std().item() == pytest.approx(read, rel=0.1)


@pytest.mark.parametrize("name", ["prompt", "prefix"])
@pytest.mark.parametrize("family", FAMILIES)
def test_architectures_take_it_or_it_is_refused_in_one_sentence(name, family, attach):
    if (name, family) in REFUSED:
        with pytest.raises(ValueError, match=r"\AA \w+ [^\n]{20,250}\. Choose another adapter\.\Z"):
            attach(name, tiny(family), n_tokens=5)
        return
    adapted = attach(name, tiny(family), n_tokens=5)
    assert adapted.positions == 5
    adapted.module.train()
    adapted.module(input_ids=TEXT).logits.sum().backward()
    assert all(one.grad is not None for one in adapted.trainable.values())


def test_prefix_is_refused_where_nothing_is_cached(attach):
    with pytest.raises(ValueError, match=r"A MambaForCausalLM does not keep keys and values"):
        attach("prefix", tiny("Mamba"), n_tokens=5)


def test_soft_prompt_of_more_tokens_than_the_vocabulary_is_refused(attach):
    with pytest.raises(ValueError, match=r"n_tokens is 70, the vocabulary has 64 tokens\. Lower n_tokens"):
        attach("prompt", tiny("Mamba"), n_tokens=70)


@pytest.mark.parametrize("name", ["prompt", "prefix"])
@pytest.mark.parametrize("family", [family for family in FAMILIES if family not in {"Bloom", "Mamba"}])
def test_text_fits_into_the_positions_that_it_leaves(name, family, attach):
    plain = tiny(family)
    assert positions_of(plain) == N_POSITIONS
    adapted = attach(name, plain, n_tokens=5)
    text = torch.arange(N_POSITIONS - adapted.positions)[None]
    with torch.no_grad():
        assert adapted.module(input_ids=text).logits[:, -text.shape[1] :].isfinite().all()


@pytest.mark.parametrize("family", ["GPT-2", "OPT", "MPT"])
def test_longer_texts_do_not_fit_where_positions_are_a_table(family):
    with torch.no_grad(), pytest.raises((IndexError, RuntimeError)):
        tiny(family)(input_ids=torch.zeros(1, N_POSITIONS + 1, dtype=torch.long))


@pytest.mark.parametrize("config", [{"max_position_embeddings": -1}, {"max_position_embeddings": None}, {}])
def test_positions_without_limit_are_none(config):
    assert positions_of(SimpleNamespace(config=SimpleNamespace(**config))) is None
    assert positions_of(SimpleNamespace()) is None
