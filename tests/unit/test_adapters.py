"""The adapters that ship: how much they train and what it is called, what they compute, what they refuse.

Sizes below are of the GPT-2 kind: L layers of width d, V tokens. A block holds c_attn (d x 3d, bias 3d), attention
c_proj (d x d, d), c_fc (d x 4d, 4d), MLP c_proj (4d x d, d) and two layer norms (2d each); ln_f (2d) comes last.
"""

from __future__ import annotations

import copy

import pytest
import torch
from fedgen_bench_plugins.backbones import grounds
from fedgen_bench_plugins.backbones.loading import load_backbone

from fedgen_bench.contract.params import make_params
from fedgen_bench.testing.adapters import SEEDS
from fedgen_bench.testing.adapters import train as train_on

GROUND = grounds.LANGUAGE_MODEL
BACKBONES = ("tiny-wire-lm", "mini-lm")  # (L, d, V) = (2, 64, 245) and (4, 256, 8192)
ALL_LINEAR = ["c_attn", "c_proj", "c_fc", "lm_head"]


@pytest.fixture(scope="module")
def backbones():
    return {name: load_backbone(name).module for name in BACKBONES}


@pytest.fixture(scope="module")
def llama():
    """A random decoder with RMS norms, no bias, untied head, and two query heads a key head."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return LlamaForCausalLM(config).eval()


def tokens():
    return GROUND.inputs()["tokens"]


def train(adapted):
    return train_on(adapted, GROUND)


def outputs(module, inputs=None):
    with torch.inference_mode():
        return GROUND.outputs(module, {"tokens": tokens() if inputs is None else inputs})


@pytest.mark.parametrize(
    ("name", "params", "tiny", "mini"),
    [
        # L (r (d + 3d) + 3d): 2 (8 x 256 + 192); 4 (8 x 1024 + 768)
        ("dora", {}, 4480, 35840),
        # per block r = 1: (d + 3d) + (d + d) + (d + 4d) + (4d + d) = 16d, magnitudes 3d + d + 4d + d = 9d; head d + 2V
        ("dora", {"rank": 1, "targets": ALL_LINEAR}, 2 * 25 * 64 + 64 + 490, 4 * 25 * 256 + 256 + 16384),
        ("ia3", {}, 2 * 7 * 64, 4 * 7 * 256),  # L (3d + 4d)
        ("ia3", {"inputs": []}, 2 * 3 * 64, 4 * 3 * 256),
        ("prefix", {}, 16 * 2 * 2 * 64, 16 * 4 * 2 * 256),  # n_tokens x L x (keys and values) x d
        ("layernorm", {}, 2 * 4 * 64 + 2 * 64, 4 * 4 * 256 + 2 * 256),  # L 4d + 2d
        ("bitfit", {}, 2 * 11 * 64 + 64, 4 * 11 * 256 + 256),  # L (3d + d + 4d + d + two norms' 2d) + d
        # a block is 12 d^2 + 13 d: 49984 and 789760; then 2d
        ("last_layer", {}, 49984 + 128, 789760 + 512),
        ("last_layer", {"n_blocks": 2}, 2 * 49984 + 128, 2 * 789760 + 512),
        ("last_layer", {"n_blocks": 0}, 128, 512),
        ("last_layer", {"n_blocks": 0, "head": True}, 128 + 245 * 64, 512 + 8192 * 256),
    ],
)
def test_adapter_trains_as_many_numbers_as_the_arithmetic_says(name, params, tiny, mini, backbones, attach):
    counts = [
        sum(one.numel() for one in attach(name, backbones[backbone], **params).trainable.values())
        for backbone in BACKBONES
    ]
    assert counts == [tiny, mini]


NORMS = [f"{norm}.{part}" for norm in ("ln_1", "ln_2") for part in ("weight", "bias")]
LINEARS = ["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"]
LAST_NORM = ["transformer.ln_f.weight", "transformer.ln_f.bias"]


def in_blocks(parts, blocks=(0, 1)):
    return [f"transformer.h.{i}.{part}" for i in blocks for part in parts]


@pytest.mark.parametrize(
    ("name", "params", "expected"),
    [
        ("dora", {}, in_blocks([f"attn.c_attn.lora_{part}.weight" for part in ("A", "B", "magnitude_vector")])),
        ("ia3", {}, in_blocks(["attn.c_attn.ia3_l", "mlp.c_proj.ia3_l"])),
        ("prefix", {}, ["prefix"]),
        ("layernorm", {}, in_blocks(NORMS) + LAST_NORM),
        ("bitfit", {}, in_blocks([f"{one}.bias" for one in (*LINEARS, "ln_1", "ln_2")]) + LAST_NORM[1:]),
        (
            "last_layer",
            {"head": True},
            in_blocks(NORMS + [f"{one}.{part}" for one in LINEARS for part in ("weight", "bias")], blocks=[1])
            + LAST_NORM
            + ["lm_head.weight"],
        ),
    ],
)
def test_trained_tensors_have_the_backbones_own_names(name, params, expected, backbones, attach):
    assert set(attach(name, backbones["tiny-wire-lm"], **params).trainable) == set(expected)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("dora", {"targets": ALL_LINEAR}),
        ("ia3", {"outputs": ["c_attn", "c_fc", "lm_head"]}),
        ("layernorm", {}),
        ("bitfit", {}),
        ("last_layer", {"head": True}),
    ],
)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_adapted_backbone_begins_as_the_backbone_to_the_bit(backbone, name, params, backbones, attach):
    plain = backbones[backbone]
    assert torch.equal(outputs(plain), outputs(attach(name, plain, **params).module))


@pytest.mark.parametrize("backbone", BACKBONES)
def test_prefix_begins_as_the_backbone_with_words_before_the_text(backbone, backbones, attach):
    plain = backbones[backbone]
    vocabulary = plain.config.vocab_size
    words = torch.randint(vocabulary, (1, 5), generator=SEEDS.torch("adapter", purpose="prefix"))
    expected = outputs(plain, torch.cat([words.expand(6, -1), tokens()], dim=1))[:, 5:]
    found = outputs(attach("prefix", plain, n_tokens=5).module)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert (found - outputs(plain)).abs().max() > 0.1  # so that the comparison can tell


def test_prefix_begins_with_words_under_shared_key_heads(llama, attach):
    words = torch.randint(64, (1, 5), generator=SEEDS.torch("adapter", purpose="prefix"))
    expected = outputs(llama, torch.cat([words.expand(6, -1), tokens()], dim=1))[:, 5:]
    adapted = attach("prefix", llama, n_tokens=5)
    torch.testing.assert_close(outputs(adapted.module), expected, rtol=1e-4, atol=1e-4)
    assert adapted.trainable["prefix"].shape == (5, 2 * 2 * 2 * 8)  # layers x (keys, values) x key heads x width


def test_trained_dora_is_the_backbone_with_the_papers_weight(backbones, attach):
    plain = backbones["tiny-wire-lm"]
    adapted = attach("dora", plain, rank=2, alpha=6.0)
    trained = train(adapted)
    by_hand = copy.deepcopy(plain)
    for i in range(2):
        layer = by_hand.transformer.h[i].attn.c_attn
        a, b, m = (
            trained[f"transformer.h.{i}.attn.c_attn.lora_{part}.weight"] for part in ("A", "B", "magnitude_vector")
        )
        moved = layer.weight.detach().T + 3.0 * b @ a  # one row an output; s = 6 / 2
        layer.weight.data = (m[:, None] * moved / moved.norm(dim=1, keepdim=True)).T
    torch.testing.assert_close(outputs(adapted.module), outputs(by_hand), rtol=1e-4, atol=1e-4)
    assert (outputs(by_hand) - outputs(plain)).abs().max() > 0.1


def test_trained_ia3_rescales_outputs_with_their_bias_and_inputs_without(backbones, attach):
    plain = backbones["tiny-wire-lm"]
    adapted = attach("ia3", plain)
    trained = train(adapted)
    by_hand = copy.deepcopy(plain)
    for i in range(2):
        block = by_hand.transformer.h[i]
        outward = trained[f"transformer.h.{i}.attn.c_attn.ia3_l"].flatten()
        block.attn.c_attn.weight.data *= outward  # Conv1D: (inputs, outputs)
        block.attn.c_attn.bias.data *= outward
        block.mlp.c_proj.weight.data *= trained[f"transformer.h.{i}.mlp.c_proj.ia3_l"].reshape(-1, 1)
    torch.testing.assert_close(outputs(adapted.module), outputs(by_hand), rtol=1e-4, atol=1e-4)
    assert (outputs(by_hand) - outputs(plain)).abs().max() > 0.01


def test_ia3_takes_an_ending_as_whole_names(backbones, attach):
    adapted = attach("ia3", backbones["tiny-wire-lm"], outputs=["attn.c_proj"], inputs=["mlp.c_proj"])
    shapes = {tuple(one.shape) for name, one in adapted.trainable.items() if ".attn." in name}
    assert shapes == {(64, 1)}  # an output each; as an input it would be (1, 64)


def test_last_layer_unties_the_head_and_leaves_the_embedding(backbones, attach):
    plain = backbones["tiny-wire-lm"]
    assert plain.lm_head.weight is plain.transformer.wte.weight
    adapted = attach("last_layer", plain, n_blocks=0, head=True)
    train(adapted)
    assert torch.equal(adapted.module.transformer.wte.weight, plain.transformer.wte.weight)
    assert not torch.equal(adapted.module.lm_head.weight, plain.lm_head.weight)


def test_adapters_know_rms_norms_and_separate_projections(llama, attach):
    norms = {f"model.layers.{i}.{norm}_layernorm.weight" for i in (0, 1) for norm in ("input", "post_attention")}
    assert set(attach("layernorm", llama).trainable) == norms | {"model.norm.weight"}
    top = attach("last_layer", llama).trainable
    assert {".".join(name.split(".")[:3]) for name in top} == {"model.layers.1", "model.norm.weight"}
    paper = attach("ia3", llama, outputs=["k_proj", "v_proj"], inputs=["down_proj"])
    # keys and values: 2 key heads x 8 each, the MLP's inner width 48; two layers
    assert sum(one.numel() for one in paper.trainable.values()) == 2 * (16 + 16 + 48)
    assert torch.equal(outputs(llama), outputs(paper.module))


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("dora", {"rank": 0}, "rank must be at least 1, got 0"),
        ("dora", {"alpha": 0.0}, "alpha must be a finite number above 0"),
        ("dora", {"alpha": float("inf")}, "alpha must be a finite number above 0"),
        ("dora", {"targets": []}, "at least one target"),
        ("ia3", {"outputs": [], "inputs": []}, "at least one module"),
        ("prefix", {"n_tokens": 0}, "n_tokens must be at least 1, got 0"),
        ("last_layer", {"n_blocks": -1}, "n_blocks must be at least 0, got -1"),
        ("bitfit", {"n_blocks": 1}, "n_blocks"),
    ],
)
def test_bad_parameters_are_refused(name, params, message, registry):
    _, problems = make_params(registry.get("adapter", name).spec.params, params)
    assert any(message in str(problem) for problem in problems)


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        (
            "lora",
            {"targets": ["c_attn", "q_proj"]},
            "Target `q_proj` names no module .* It has: .*c_attn, c_fc",
        ),
        ("dora", {"targets": ["attn_c_proj"]}, "Target `attn_c_proj` names no module"),
        ("ia3", {"outputs": ["k_proj"]}, "Target `k_proj` names no module"),
        ("ia3", {"inputs": ["down_proj"]}, "Target `down_proj` names no module"),
        ("prefix", {"n_tokens": 128}, "n_tokens is 128, this backbone has 128 positions"),
        ("prompt", {"n_tokens": 128}, "n_tokens is 128, this backbone has 128 positions"),
        (
            "lora",
            {"targets": ["c_attn", "wte"]},
            r"Target `wte` names `transformer.wte` \(Embedding\), which is no linear layer\. Choose among: c_attn, ",
        ),
        ("mixed_lora", {"targets": ["attn"]}, r"`attn` names .*\(GPT2Attention\) and 1 more, which is no linear layer"),
        ("dora", {"targets": ["wpe"]}, r"\(Embedding\), which is no linear layer or convolution"),
        ("ia3", {"outputs": ["ln_1"]}, r"\(LayerNorm\) and 1 more, which is no linear layer or convolution"),
        ("last_layer", {"n_blocks": 3}, "n_blocks is 3, this backbone has 2 blocks"),
    ],
)
def test_what_the_backbone_does_not_have_is_refused(name, params, message, backbones, attach):
    with pytest.raises(ValueError, match=message):
        attach(name, backbones["tiny-wire-lm"], **params)


def test_bitfit_refuses_a_backbone_without_biases(llama, attach):
    with pytest.raises(ValueError, match="This backbone has no bias"):
        attach("bitfit", llama)


def test_dora_refuses_an_output_of_zero_weights(llama, attach):
    padded = copy.deepcopy(llama)
    padded.model.layers[0].mlp.down_proj.weight.data[3] = 0.0
    with pytest.raises(ValueError, match=r"layers\.0\.mlp.down_proj\.lora_magnitude_vector\.weight` has a zero"):
        attach("dora", padded, targets=["down_proj"])


class Scale(torch.nn.Module):
    """An RMS norm whose class is not called so."""

    def __init__(self, width):
        super().__init__()
        self.gain, self.variance_epsilon = torch.nn.Parameter(torch.ones(width)), 1e-6


class OddNorm(torch.nn.Module):
    """Called a norm, and none of the kinds that are known."""

    def __init__(self, width):
        super().__init__()
        self.mix = torch.nn.Parameter(torch.eye(width))


def test_norms_are_told_by_what_they_are(attach):
    module = torch.nn.ModuleDict(
        {
            "own": Scale(4), "torch": torch.nn.RMSNorm(4), "group": torch.nn.GroupNorm(2, 4),
            "linear": torch.nn.Linear(4, 4),
            "bare": torch.nn.LayerNorm(4, elementwise_affine=False), "slope": torch.nn.PReLU(4),
        }
    )  # fmt: skip
    assert set(attach("layernorm", module).trainable) == {"own.gain", "torch.weight", "group.weight", "group.bias"}


@pytest.mark.parametrize("odd", [OddNorm(4), torch.nn.BatchNorm2d(4)])
def test_norm_of_another_kind_is_told_and_not_left_out(odd, attach):
    with pytest.raises(ValueError, match=rf"`odd` \({type(odd).__name__}\) is called a norm and is no "):
        attach("layernorm", torch.nn.ModuleDict({"odd": odd, "norm": torch.nn.LayerNorm(4)}))
