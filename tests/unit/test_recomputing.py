"""Gradient checkpointing: the same gradients, less that is kept, and what is kept is counted."""

from __future__ import annotations

import pytest
import torch
from fedgen_bench_plugins.backbones.holding import hold
from fedgen_bench_plugins.backbones.options import Loading
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

from fedgen_bench.base.errors import DataError
from fedgen_bench.contract.adapting import Adapted
from fedgen_bench.contract.data import Examples
from fedgen_bench.contract.messages import Fit
from fedgen_bench.contract.seeds import SeedTree
from fedgen_bench.federation.asked import Asked
from fedgen_bench.federation.batches import FitStreams
from fedgen_bench.federation.footprint import footprint
from fedgen_bench.federation.fused_check import agrees
from fedgen_bench.federation.trainer import TrainingPlan
from fedgen_bench.testing.backbones import ground_of

SEEDS = SeedTree("task", "adapter", "partitioner", "strategy", 1)
CHECKPOINTED = Loading(gradient_checkpointing=True)
PLAN = TrainingPlan(optimizer="adamw", learning_rate=0.1, batch_size=4)


def llama(loading, n_layers=4):
    config = LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=128, num_hidden_layers=n_layers, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, attention_dropout=0.1,
    )  # fmt: skip
    torch.manual_seed(0)
    module = LlamaForCausalLM(config).eval()
    hold("llama", module, loading)
    return module


def lora(module, registry, **values):
    spec = registry.get("adapter", "lora").spec
    adapted = spec.build(spec.params(targets=("q_proj", "v_proj"), **values)).attach(module, SEEDS)
    with torch.no_grad():
        for one in adapted.trainable.values():
            one.add_(0.01)
    return adapted


class Text:
    """Next tokens of blocks."""

    def loss(self, module, batch, generator):
        return self.losses(module, [batch], [generator])[0]

    def losses(self, module, batches, generators):  # noqa: ARG002 - the protocol's signature
        tokens = torch.cat([batch["tokens"] for batch in batches])
        logits = module(input_ids=tokens[:, :-1]).logits.transpose(1, 2)
        errors = cross_entropy(logits, tokens[:, 1:], reduction="none").mean(dim=1)
        return [one.mean() for one in errors.split([len(batch["tokens"]) for batch in batches])]


def text(n=2, length=25):
    return {"tokens": torch.arange(n * length).view(n, length) * 7 % 64}


def gradients(adapted):
    adapted.module.train()
    torch.manual_seed(3)
    loss = Text().loss(adapted.module, text(), torch.Generator())
    return torch.autograd.grad(loss, list(adapted.trainable.values()))


@pytest.mark.parametrize("loading", [CHECKPOINTED, Loading(gradient_checkpointing=True, dtype="bf16")], ids=str)
def test_gradients_are_the_same_with_a_frozen_input_and_dropout(registry, loading):
    plain = lora(llama(Loading(dtype=loading.dtype)), registry, dropout=0.2)
    again = lora(llama(loading), registry, dropout=0.2)
    for ours, theirs in zip(gradients(again), gradients(plain), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-9)
        assert theirs.abs().sum() > 0


@pytest.mark.parametrize("name", ["lora", "ia3", "bitfit", "layernorm", "full", "textual_inversion"])
def test_a_unets_gradients_are_the_same(registry, name):
    ground, spec = ground_of(registry, "unet"), registry.get("adapter", name).spec
    found, kept = [], []
    for loading in (Loading(), CHECKPOINTED):
        module = ground.backbone()
        hold("unet", module.unet, loading)
        adapted = spec.build(spec.params(**spec.backbones["unet"])).attach(module, SEEDS)
        adapted.module.train()
        trained = [one.requires_grad_() for one in adapted.trainable.values()]
        counted = []
        with torch.autograd.graph.saved_tensors_hooks(lambda one, to=counted: to.append(one) or one, lambda one: one):
            loss = ground.loss(adapted.module, ground.inputs(), torch.Generator().manual_seed(1))
        found.append(torch.autograd.grad(loss, trained))
        kept.append(len(counted))
    assert kept[1] < kept[0]
    for ours, theirs in zip(*found, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-9)


def test_the_footprint_counts_inputs_of_all_blocks_and_the_largest_block(registry):
    example = {name: tensor[:1] for name, tensor in text().items()}
    plain, again, twice = (
        footprint(lora(llama(loading, n_layers), registry), Text(), example, PLAN, 99).example_bytes
        for loading, n_layers in ((Loading(), 4), (CHECKPOINTED, 4), (CHECKPOINTED, 8))
    )
    states = 24 * 32 * 4  # one block's input: tokens, width, fp32
    assert again < plain / 2
    assert states * 4 <= twice - again <= states * 4 + 8 * 24  # and nothing else for four blocks more


def test_a_footprint_counts_stored_weights_and_the_largest_cast(registry):
    whole, low = (
        footprint(lora(llama(Loading(dtype=dtype)), registry), Text(), text(1), PLAN, 99) for dtype in ("fp32", "bf16")
    )
    assert 0.5 * whole.module_bytes < low.module_bytes < 0.6 * whole.module_bytes
    assert low.fixed_bytes - whole.fixed_bytes == 4 * 128 * 32  # the MLP's matrices are the largest
    assert low.example_bytes <= whole.example_bytes


def test_clients_can_be_trained_in_one_pass_when_blocks_are_computed_again(registry):
    adapted = lora(llama(CHECKPOINTED), registry)
    start = {name: one.detach().clone() for name, one in adapted.trainable.items()}
    asked = [
        Asked(Fit(start), Examples({"tokens": (text(4)["tokens"] + client) % 64}, 4), FitStreams(SEEDS, 0, client), 2)
        for client in range(2)
    ]
    for block in adapted.module.get_base_model().model.layers:
        block.self_attn.attention_dropout = 0.0
    assert agrees(adapted, Text(), Text(), asked, PLAN)


def test_a_network_that_knows_no_checkpointing_is_refused():
    class Plain(LlamaForCausalLM):
        supports_gradient_checkpointing = False

    module = Plain(llama(Loading(), 1).config)
    with pytest.raises(DataError, match=r"a Plain, knows no gradient checkpointing\. Leave `loading\.gradient_check"):
        hold("own", module, CHECKPOINTED)


def test_measuring_ends_where_it_began(registry):
    adapted = lora(llama(CHECKPOINTED), registry)
    footprint(adapted, Text(), text(1), PLAN, 99)
    before = gradients(adapted)
    assert isinstance(adapted, Adapted)
    assert all(torch.equal(one, other) for one, other in zip(gradients(adapted), before, strict=True))
