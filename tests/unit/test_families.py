"""Adapters that train a backbone's own parameters, on every family of language models."""

from __future__ import annotations

import copy

import pytest
import torch
from families import FAMILIES, GROUND, tiny
from fedgen_bench_plugins.adapters.selection import is_norm

from fedgen_bench.contract.params import make_params
from fedgen_bench.testing.adapters import SEEDS, train


@pytest.fixture(scope="module")
def learned(registry):
    """An adapter on a private copy of a module, and its tensors after a step."""

    def make(name, module, **values):
        spec = registry.get("adapter", name).spec
        params, problems = make_params(spec.params, values)
        assert problems == []
        adapted = spec.build(params).attach(copy.deepcopy(module), SEEDS)
        return adapted, train(adapted, GROUND, 1)

    return make


def moved(plain, adapted):
    """Names of the parameters that are no longer the backbone's."""
    was = dict(plain.named_parameters(remove_duplicate=False))
    now = adapted.module.named_parameters(remove_duplicate=False)
    return {name for name, one in now if not torch.equal(one, was[name])}


@pytest.mark.parametrize("family", FAMILIES)
def test_norms_alone_learn(family, learned):
    plain = tiny(family)
    norms = {
        f"{name}.{inner}" for name, layer in plain.named_modules() if is_norm(layer)
        for inner, _ in layer.named_parameters()
    }  # fmt: skip
    adapted, _ = learned("layernorm", plain)
    assert moved(plain, adapted) == norms == set(adapted.trainable)
    assert len(norms) >= 3  # a block's and the last one


@pytest.mark.parametrize("family", FAMILIES)
def test_biases_alone_learn_or_there_are_none(family, learned):
    plain = tiny(family)
    biases = {name for name, _ in plain.named_parameters() if name.endswith(".bias")}
    if biases:
        adapted, _ = learned("bitfit", plain)
        assert set(adapted.trainable) == biases
        assert moved(plain, adapted) <= biases
    else:
        with pytest.raises(ValueError, match=r"This backbone has no bias\. Choose another adapter\."):
            learned("bitfit", plain)


@pytest.mark.parametrize("family", FAMILIES)
def test_last_block_and_head_learn_and_a_tied_embedding_stays(family, learned):
    plain = tiny(family)
    adapted, _ = learned("last_layer", plain, head=True)
    head = next(
        name for name, layer in adapted.module.named_modules() if layer is adapted.module.get_output_embeddings()
    )
    blocks = {name.split(".1.")[0] for name in adapted.trainable if ".1." in name}
    assert len(blocks) == 1  # all of one list, and none from its first block
    assert not any(name.startswith(f"{blocks.copy().pop()}.0.") for name in adapted.trainable)
    assert f"{head}.weight" in moved(plain, adapted) <= set(adapted.trainable)
    assert torch.equal(adapted.module.get_input_embeddings().weight, plain.get_input_embeddings().weight)
    beside = [name for name in adapted.trainable if ".1." not in name and not name.startswith(head)]
    assert beside  # the norm after the blocks
