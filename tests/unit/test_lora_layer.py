"""LoRA's layers add s B A x while they compute it, and give peft's numbers to the last bit."""

from __future__ import annotations

import contextlib
import copy

import pytest
import torch
from fedgen_bench_plugins.adapters.lora import LoRA, Params
from fedgen_bench_plugins.adapters.lora_layer import AddedLinear
from fedgen_bench_plugins.backbones import grounds
from fedgen_bench_plugins.backbones.loading import load_backbone
from peft.tuners.lora.layer import Linear

from fedgen_bench.testing.adapters import SEEDS

TOKENS = grounds.LANGUAGE_MODEL.inputs()["tokens"]
ALL_LINEAR = ("c_attn", "c_proj", "c_fc", "lm_head")


@pytest.fixture(scope="module")
def backbone():
    return load_backbone("tiny-wire-lm").module


@pytest.fixture
def adapted(backbone):
    def make(**params):
        adapted = LoRA(Params(**{"targets": ALL_LINEAR, **params})).attach(copy.deepcopy(backbone), SEEDS)
        draws = torch.Generator().manual_seed(7)
        for parameter in adapted.trainable.values():
            parameter.data = 0.1 * torch.randn(parameter.shape, generator=draws)
        return adapted

    return make


def layers(adapted):
    return [layer for layer in adapted.module.modules() if isinstance(layer, Linear)]


def passed(adapted, *, training=False, precision=contextlib.nullcontext):
    """Logits, and the gradient of a loss on them by name."""
    adapted.module.train(training)
    adapted.module.zero_grad()
    with torch.random.fork_rng(), precision():
        torch.manual_seed(5)
        logits = adapted.module(input_ids=TOKENS).logits
        logits.float().square().mean().backward()
    return {"logits": logits, **{name: parameter.grad for name, parameter in adapted.trainable.items()}}


def equal_to_pefts(adapted, monkeypatch, **how):
    ours = passed(adapted, **how)
    with torch.inference_mode():
        ours["inferred"] = adapted.module.eval()(input_ids=TOKENS).logits
    monkeypatch.setattr(AddedLinear, "forward", Linear.forward)
    theirs = passed(adapted, **how)
    with torch.inference_mode():
        theirs["inferred"] = adapted.module.eval()(input_ids=TOKENS).logits
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(
    "params", [{"rank": 2, "alpha": 4.0}, {"rank": 8, "alpha": 2.0, "ranks": {"lm_head": 3}}, {"dropout": 0.3}]
)
def test_logits_and_gradients_are_pefts_to_the_last_bit(adapted, monkeypatch, params):
    model = adapted(**params)
    assert {type(layer) for layer in layers(model)} == {AddedLinear}
    assert equal_to_pefts(model, monkeypatch, training=True)


def test_scales_that_a_sum_would_round_go_pefts_way(adapted, monkeypatch):
    assert equal_to_pefts(adapted(rank=4, alpha=12.0), monkeypatch)


@pytest.mark.parametrize("rank", [1, 2, 64, 65, 512])
def test_ranks_whose_products_are_rounded_otherwise_go_pefts_way(adapted, monkeypatch, rank):
    model = adapted(rank=rank, alpha=2.0 * rank)
    assert equal_to_pefts(model, monkeypatch)
    layer = layers(model)[0]
    assert layer._fits(torch.ones(2, 3, layer.in_features)) == (2 <= rank <= 64)


def test_another_active_adapter_and_hooks_on_b_are_heard(adapted):
    model, seen = adapted(rank=4, alpha=8.0, targets=("c_attn",)), []
    layer = layers(model)[0]
    x = torch.ones(1, 2, layer.in_features)
    with layer.lora_B["default"].register_forward_hook(lambda *_: seen.append(1)):
        layer(x)
    assert seen == [1]
    model.module.add_adapter("other", model.module.peft_config["default"])
    model.module.set_adapter("other")
    assert torch.equal(layer(x), layer.base_layer(x))  # its B begins at 0


def test_bf16_goes_pefts_way(adapted, monkeypatch):
    assert equal_to_pefts(
        adapted(rank=4, alpha=8.0), monkeypatch, precision=lambda: torch.autocast("cpu", torch.bfloat16)
    )


def test_a_power_of_two_makes_neither_product_nor_sum_of_its_own(adapted):
    model = adapted(rank=4, alpha=8.0, targets=("lm_head",))
    (layer,) = layers(model)
    x = torch.randn(2, 5, layer.in_features, generator=torch.Generator().manual_seed(1))

    def operators():
        with torch.inference_mode(), torch.profiler.profile(acc_events=True) as profile:
            layer(x)
        return {event.key for event in profile.key_averages()} & {"aten::mul", "aten::add"}

    assert operators() == set()
    layer.scaling["default"] = 3.0
    assert operators() == {"aten::mul", "aten::add"}


def test_an_adapter_that_is_switched_off_leaves_the_backbone(adapted, backbone):
    model = adapted()
    model.module.eval()
    with torch.inference_mode():
        with model.module.disable_adapter():
            switched_off = model.module(input_ids=TOKENS).logits
        assert torch.equal(switched_off, backbone(input_ids=TOKENS).logits)
        assert not torch.equal(switched_off, model.module(input_ids=TOKENS).logits)


def test_an_exchanged_product_with_b_is_used(adapted):
    model = adapted(targets=("lm_head",))
    (layer,) = layers(model)
    x = torch.ones(1, 2, layer.in_features)
    layer.lora_B["default"].forward = lambda low: low.new_zeros(*low.shape[:-1], layer.out_features)
    assert torch.equal(layer(x), layer.base_layer(x))
