"""The backbones that come with us, and the network behind `cifarnet`; the tasks that use them register them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from fedgen_bench import BackboneSpec
from fedgen_bench_plugins.backbones import grounds
from fedgen_bench_plugins.backbones.packaged import from_gguf
from fedgen_bench_plugins.backbones.pretrain import pretrain
from fedgen_bench_plugins.backbones.shipped import SHIPPED, generated, shipped
from fedgen_bench_plugins.datasets.known import SMOLLM2_GGUF

_CIFARNET = Path(__file__).parents[1] / "extractors" / "cifarnet"

MINI_LM = BackboneSpec(
    name="mini-lm",
    summary="GPT-2 architecture with a tokenizer of its own, trained on public English text.",
    kind="language_model",
    folder=partial(shipped, "mini-lm"),
    recipe=SHIPPED["mini-lm"] / "recipe.toml",
    pretrain=pretrain,
)
TINY_WIRE_LM = BackboneSpec(
    name="tiny-wire-lm",
    summary="Two-layer GPT-2 that knows the grammar of tiny wire; made in seconds at first use.",
    kind="language_model",
    folder=partial(generated, "tiny-wire-lm"),
    ground=grounds.LANGUAGE_MODEL,
)
MINI_UNET = BackboneSpec(
    name="mini-unet",
    summary="Denoising U-Net with context tokens for labels, trained on vehicles of CIFAR-10.",
    kind="unet",
    folder=partial(shipped, "mini-unet"),
    recipe=SHIPPED["mini-unet"] / "recipe.toml",
    pretrain=pretrain,
)
MINI_UNET_SEMI = BackboneSpec(
    name="mini-unet-semi",
    summary="Denoising U-Net as mini-unet, larger; knows vehicles of CIFAR-10 by name, and animals without.",
    kind="unet",
    folder=partial(shipped, "mini-unet-semi"),
    recipe=SHIPPED["mini-unet-semi"] / "recipe.toml",
    pretrain=pretrain,
)
TINY_SHAPES_UNET = BackboneSpec(
    name="tiny-shapes-unet",
    summary="Small U-Net that knows four of the ten tiny shapes; made in seconds at first use.",
    kind="unet",
    folder=partial(generated, "tiny-shapes-unet"),
    ground=grounds.UNET,
)
SMOLLM2 = BackboneSpec(
    name="smollm2-135m",
    summary="SmolLM2-135M-Instruct, a Llama of 134.5 M parameters trained on 2 T tokens; `data fetch` brings it.",
    kind="language_model",
    folder=from_gguf("smollm2-135m", "llama"),
    made_from=(SMOLLM2_GGUF.name,),
    ground=grounds.LLAMA,
)
CIFARNET = BackboneSpec(
    name="cifarnet",
    summary="Small classifier of 32 x 32 images whose features the metrics of images compare.",
    kind="classifier",
    folder=lambda: _CIFARNET,
    recipe=_CIFARNET / "recipe.toml",
    pretrain=pretrain,
)
