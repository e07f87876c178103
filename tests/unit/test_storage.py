"""Weights in fewer bits: every adapter computes as with the rounded ones in fp32, and trains in fp32."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from fedgen_bench.contract.copies import private_copy
from fedgen_bench.contract.seeds import SeedTree
from fedgen_bench.contract.storage import has_stored, largest_cast_bytes, store_weights, train_in_fp32
from fedgen_bench.testing.backbones import ground_of
from fedgen_bench.testing.pretended import plain_attention, pretended

SEEDS = SeedTree("task", "adapter", "partitioner", "strategy", 1)


def pair(ground, dtype=torch.bfloat16):
    """A backbone with stored weights, and one with the same rounded weights in fp32."""
    rounded = ground.backbone().to(dtype)
    low, whole = copy.deepcopy(rounded), rounded.float()
    store_weights(low, dtype)
    return private_copy(low), whole


def of_kind(registry, kind):
    return [name for name, one in registry.components["adapter"].items() if kind in one.spec.backbones]


KINDS = {
    "language_model": [
        "bitfit", "dora", "full", "ia3", "last_layer", "layernorm", "lora", "mixed_lora", "none", "prefix", "prompt",
    ],
    "unet": ["bitfit", "dora", "full", "ia3", "layernorm", "lora", "mixed_lora", "none", "textual_inversion"],
}  # fmt: skip


def test_every_adapter_is_tried_here(registry):
    assert {kind: sorted(of_kind(registry, kind)) for kind in KINDS} == KINDS


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in KINDS.items() for name in names])
def test_adapters_on_stored_weights_compute_as_on_the_rounded_ones(kind, name, registry):
    ground, spec = ground_of(registry, kind), registry.get("adapter", name).spec
    adapter = spec.build(spec.params(**spec.backbones[kind]))
    low, whole = (adapter.attach(module, SEEDS) for module in pair(ground))
    train_in_fp32(low.module, low.trainable.values())
    with torch.no_grad():
        for i, (one, other) in enumerate(zip(low.trainable.values(), whole.trainable.values(), strict=True)):
            assert one.dtype == torch.float32
            one.add_(0.01 * torch.randn(one.shape, generator=torch.Generator().manual_seed(i)))
            other.copy_(one)  # peft rounds the A that it draws
    ours, theirs = (loss_and_gradients(ground, adapted) for adapted in (low, whole))
    for one, other in zip(ours, theirs, strict=True):
        assert (one - other).norm() <= 1e-5 * other.norm()


def loss_and_gradients(ground, adapted):
    trained = [one.requires_grad_() for one in adapted.trainable.values()]
    adapted.module.train()
    loss = ground.loss(adapted.module, ground.inputs(), torch.Generator().manual_seed(1))
    return [loss.detach(), *(torch.autograd.grad(loss, trained) if trained else ())]


def test_weights_are_stored_and_everything_else_is_fp32(registry):
    low, whole = pair(ground_of(registry, "language_model"), torch.float16)
    assert has_stored(low)
    assert not has_stored(whole)
    stored = {name for name, one in low.named_parameters() if one.dtype == torch.float16}
    assert stored == {name for name, one in low.named_parameters() if one.ndim > 1}
    assert sum(one.nbytes for one in low.parameters()) < 0.55 * sum(one.nbytes for one in whole.parameters())
    assert low.dtype == torch.float32
    assert type(low).__name__ == type(whole).__name__


def test_what_a_step_keeps_is_the_stored_weight_alone():
    layer = nn.Linear(64, 32).to(torch.bfloat16).requires_grad_(requires_grad=False)
    store_weights(layer, torch.bfloat16)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda one: kept.append(one) or one, lambda one: one):
        result = layer(torch.ones(2, 64, requires_grad=True))
    assert [(one.dtype, tuple(one.shape)) for one in kept] == [(torch.bfloat16, (32, 64))]
    assert result.dtype == torch.float32
    assert largest_cast_bytes(layer, torch.float32) == 4 * 64 * 32
    assert largest_cast_bytes(layer, torch.bfloat16) == 0


def test_autocast_says_what_stored_weights_are_computed_in():
    layer = nn.Linear(8, 8).to(torch.float16)
    store_weights(layer, torch.float16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(torch.ones(1, 8)).dtype == torch.bfloat16
    assert layer(torch.ones(1, 8)).dtype == torch.float32


@pytest.mark.parametrize("way", [{"groups": 2}, {"stride": 2, "padding": 1}, {"dilation": 2, "bias": False}], ids=str)
def test_convolutions_give_the_rounded_weights_gradients(way):
    torch.manual_seed(0)
    whole = nn.Conv2d(4, 6, 3, **way).to(torch.bfloat16).float()
    low = copy.deepcopy(whole).to(torch.bfloat16)
    store_weights(low, torch.bfloat16)
    x = torch.randn(2, 4, 9, 9)
    given = []
    for layer in (low, whole):
        image = x.clone().requires_grad_()
        result = layer(image)
        given.append((result, torch.autograd.grad(result.square().sum(), image)[0]))
    for ours, theirs in zip(*given, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_updates_are_folded_into_fp32_weights(registry):
    spec = registry.get("adapter", "lora").spec
    low, _ = pair(ground_of(registry, "language_model"))
    adapted = spec.build(spec.params()).attach(low, SEEDS)
    first = adapted.low_rank[0]
    base = adapted.backbone._layers[first.module]
    before = base.weight
    step = {name: torch.full(tuple(one.shape), 1e-3) for name, one in adapted.trainable.items()}
    adapted.fold([step])
    product = (step[first.b] @ step[first.a]).T
    assert base.weight.dtype == torch.float32
    assert torch.equal(base.weight, before.float() + product)
    adapted.fold([])
    assert base.weight is before


def test_stored_weights_compute_on_a_device_what_they_do_on_the_processor(registry):
    ground, spec = ground_of(registry, "language_model"), registry.get("adapter", "lora").spec
    found = []
    with plain_attention(), pretended(double=False) as there:
        for device in ("cpu", there.device):
            low, _ = pair(ground)
            adapted = spec.build(spec.params()).attach(low, SEEDS)
            train_in_fp32(adapted.module, adapted.trainable.values())
            adapted.module.to(device)
            batch = {name: one.to(device) for name, one in ground.inputs().items()}
            loss = ground.loss(adapted.module, batch, torch.Generator())
            trained = [one.requires_grad_() for one in adapted.trainable.values()]
            found.append([one.cpu() for one in (loss.detach(), *torch.autograd.grad(loss, trained))])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
