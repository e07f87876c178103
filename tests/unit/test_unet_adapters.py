"""Adapters on a U-Net: how much they train and what it is called, what they compute, what they refuse.

The small U-Net has one block down (one resnet, one transformer) and one up (two resnets, no attention), of width 16;
the context is 5 x 2 tokens of width 8. The transformer holds self-attention and cross-attention of width 16 (to_q,
to_k, to_v without bias, to_out.0 with one), three layer norms, a feed-forward net 16 -> 2 x 64 (gated) -> 16, a group
norm.
"""

from __future__ import annotations

import copy

import pytest
import torch
from fedgen_bench_baselines.textual_inversion import TextualInversion
from fedgen_bench_plugins.backbones import grounds
from fedgen_bench_plugins.backbones.unet import ConditionalUNet, quiet_diffusers

from fedgen_bench import NoParams, Update, stacked
from fedgen_bench.contract.params import make_params
from fedgen_bench.contract.seeds import seeded_globals
from fedgen_bench.federation.parameters import dump_tensors, load_tensors
from fedgen_bench.testing.adapters import SEEDS, train

GROUND = grounds.UNET
ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
BLOCK = "unet.down_blocks.0.attentions.0.transformer_blocks.0"


@pytest.fixture(scope="module")
def attach(registry):
    """An adapter on a private copy of the small U-Net, or of another module."""

    def make(name, module=None, **values):
        spec = registry.get("adapter", name).spec
        params, problems = make_params(spec.params, values)
        assert problems == []
        adapted = spec.build(params).attach(copy.deepcopy(module) if module else GROUND.backbone(), SEEDS)
        adapted.module.eval()
        return adapted

    return make


@pytest.fixture(scope="module")
def unconditional():
    """A U-Net without classes, and without or with attention in its middle."""

    def make(attention):
        with quiet_diffusers(), seeded_globals(3):
            from diffusers import UNet2DModel

            return ConditionalUNet(
                UNet2DModel(
                    sample_size=8, in_channels=3, out_channels=3, layers_per_block=1, block_out_channels=(8,),
                    down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",), norm_num_groups=4,
                    add_attention=attention, attention_head_dim=4,
                )
            ).eval()  # fmt: skip

    return make


def outputs(module):
    with torch.inference_mode():
        return GROUND.outputs(module, GROUND.inputs())


@pytest.mark.parametrize(
    ("name", "params", "count"),
    [
        # r (inputs + outputs): self-attention 4 of 16 + 16, cross-attention q and out of 16 + 16, k and v of 8 + 16
        ("lora", {"rank": 3, "targets": ATTENTION}, 3 * (6 * 32 + 2 * 24)),
        ("lora", {"rank": 3, "targets": ["attn2.to_k"]}, 3 * 24),
        # and a magnitude for each of 16 outputs; a 3 x 3 convolution has A of (2, 16, 3, 3) and B of (16, 2, 1, 1)
        ("dora", {"rank": 2, "targets": ["attn1.to_q"]}, 2 * 32 + 16),
        ("dora", {"rank": 2, "targets": ["conv2"]}, 3 * (2 * 16 * 9 + 16 * 2 + 16)),
        ("ia3", {"outputs": ["to_k", "to_v"], "inputs": ["ff.net.2"]}, 4 * 16 + 64),
        ("textual_inversion", {}, 5 * 2 * 8),
        # gains and biases: three layer norms of 16; group norms: two a resnet (16 + 16 and, upwards, 32 + 16), one in
        # front of the transformer, one before the last convolution
        ("layernorm", {}, 2 * (3 * 16 + (16 + 16) + 2 * (32 + 16) + 16 + 16)),
    ],
)  # fmt: skip
def test_adapter_trains_as_many_numbers_as_the_arithmetic_says(name, params, count, attach):
    assert sum(one.numel() for one in attach(name, **params).trainable.values()) == count


def test_full_trains_the_context_too(attach):
    trainable = attach("full").trainable
    assert "context" in trainable
    assert sum(one.numel() for one in trainable.values()) == sum(one.numel() for one in GROUND.load().parameters())


def test_trained_tensors_have_the_unets_own_names(attach):
    names = set(attach("lora", targets=["to_q", "to_out.0"]).trainable)
    layers = [f"attn{i}.{one}" for i in (1, 2) for one in ("to_q", "to_out.0")]
    assert names == {f"{BLOCK}.{layer}.lora_{part}.weight" for layer in layers for part in "AB"}
    assert set(attach("textual_inversion").trainable) == {"context"}


def test_lora_is_the_unet_with_the_papers_weights(attach):
    adapted = attach("lora", rank=2, alpha=6.0, targets=ATTENTION)
    trained = train(adapted, GROUND)
    by_hand = GROUND.backbone()
    for pair in adapted.low_rank:
        layer = by_hand.get_submodule(pair.module)
        layer.weight.data += 3.0 * trained[pair.b] @ trained[pair.a]  # s = 6 / 2
    torch.testing.assert_close(outputs(adapted.module), outputs(by_hand), rtol=1e-4, atol=1e-5)
    assert len(adapted.low_rank) == 8
    assert (outputs(by_hand) - outputs(GROUND.load())).abs().max() > 1e-3


def test_folded_lora_computes_what_the_adapter_does_and_changes_attention_alone(attach):
    adapted = attach("lora", rank=2, targets=ATTENTION)
    start = dump_tensors(adapted.trainable)
    plain = {name: one.detach().clone() for name, one in adapted.module.named_parameters()}
    learned = train(adapted, GROUND)
    ours = outputs(adapted.module)
    adapted.fold([stacked([Update(learned, 1)], adapted.low_rank)])
    load_tensors(adapted.trainable, start, adapted.low_rank)
    torch.testing.assert_close(outputs(adapted.module), ours, rtol=1e-4, atol=1e-5)
    changed = {name for name, one in adapted.module.named_parameters() if not torch.equal(one, plain[name])}
    bases = {f"base_model.model.{pair.module}.base_layer.weight" for pair in adapted.low_rank}
    assert changed == bases
    adapted.fold([])
    assert torch.equal(outputs(adapted.module), outputs(GROUND.load()))


def test_textual_inversion_moves_the_tokens_of_labels_that_it_saw(attach):
    adapted = attach("textual_inversion")
    before = dump_tensors(adapted.trainable)["context"]
    batch = GROUND.inputs()
    loss = GROUND.loss(adapted.module, {**batch, "labels": torch.full((6,), 2)}, torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad(loss, [adapted.trainable["context"]])
    assert [bool(row.abs().max() > 0) for row in gradient] == [False, False, True, False, False]
    assert torch.equal(before, GROUND.load().context)


def test_attention_of_a_plain_unet_has_the_same_names(attach, unconditional):
    adapted = attach("lora", unconditional(attention=True), rank=1, targets=ATTENTION)
    assert {pair.module.rsplit("mid_block.", 1)[1] for pair in adapted.low_rank} == {
        f"attentions.0.{one}" for one in ATTENTION
    }


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        (
            "lora",
            {"targets": ["conv1"]},
            r"Target `conv1` names .*Conv2d\).*which is no linear layer\. Choose among: .*to_out\.0",
        ),
        ("mixed_lora", {"targets": ["to_q", "conv_in"]}, r"Target `conv_in` names `unet.conv_in` \(Conv2d\)"),
        (
            "lora",
            {"targets": ["c_attn"]},
            r"`c_attn` names no module of this backbone\. It has: .*proj.*to_v; by role: all, .*Choose among them\.",
        ),
        ("prompt", {}, "soft prompt stands before text, and this backbone is no language model"),
        ("prefix", {}, "prefix stands before text, and this backbone is no language model"),
        ("last_layer", {}, "blocks of language models alone"),
    ],
)
def test_what_a_unet_does_not_have_is_refused(name, params, message, attach):
    with pytest.raises(ValueError, match=message):
        attach(name, **params)


def test_lora_on_attention_is_refused_without_attention(attach, unconditional):
    with pytest.raises(
        ValueError,
        match=r"Target `to_q` names no module of this backbone\. It has: linear_1, .*proj; by role: all\. Choose",
    ):
        attach("lora", unconditional(attention=False), targets=ATTENTION)


def test_textual_inversion_refuses_a_backbone_without_context(unconditional):
    with pytest.raises(ValueError, match="no context tokens"):
        TextualInversion(NoParams()).attach(unconditional(attention=False), SEEDS)
