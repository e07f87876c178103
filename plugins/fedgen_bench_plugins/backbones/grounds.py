"""Small backbones for the checks of adapters, one of every kind: what goes in, what comes out, and a loss."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from fedgen_bench import Ground, Tensors, seeded_globals

if TYPE_CHECKING:
    import torch
    from torch import nn

_N_EXAMPLES = 6
_N_TOKENS = 24
_N_CLASSES = 4
_LLAMA: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 24,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "tie_word_embeddings": True,
}
_UNET: dict[str, Any] = {
    "sample_size": 4,
    "in_channels": 12,
    "out_channels": 12,
    "down_block_types": ("CrossAttnDownBlock2D",),
    "mid_block_type": None,
    "up_block_types": ("UpBlock2D",),
    "block_out_channels": (16,),
    "layers_per_block": 1,
    "cross_attention_dim": 8,
    "attention_head_dim": 2,
    "norm_num_groups": 4,
}


@lru_cache(maxsize=1)
def _language_model() -> nn.Module:
    from fedgen_bench_plugins.backbones.loading import load_backbone

    return load_backbone("tiny-wire-lm").module


@lru_cache(maxsize=1)
def _llama() -> nn.Module:
    """Untrained, of 14,000 parameters, built as SmolLM2 is: three query heads a key head, no bias, a tied head."""
    with seeded_globals(5):
        from transformers import LlamaConfig, LlamaForCausalLM

        module: nn.Module = LlamaForCausalLM(LlamaConfig(**_LLAMA)).eval()
    return module


def _text() -> Tensors:
    import torch

    return {"tokens": torch.randint(0, 60, (_N_EXAMPLES, _N_TOKENS), generator=torch.Generator().manual_seed(4))}


def _logits(module: nn.Module, batch: Tensors) -> torch.Tensor:
    """Of the input positions, shape (n, length, vocabulary)."""
    logits: torch.Tensor = module(input_ids=batch["tokens"]).logits[:, -batch["tokens"].shape[1] :]
    return logits


def _next_token_loss(module: nn.Module, batch: Tensors, _: torch.Generator) -> torch.Tensor:
    from torch.nn.functional import cross_entropy

    inputs, targets = batch["tokens"][:, :-1], batch["tokens"][:, 1:]
    return cross_entropy(_logits(module, {"tokens": inputs}).flatten(0, 1), targets.flatten())


@lru_cache(maxsize=1)
def _unet() -> nn.Module:
    """Untrained, of 30,000 parameters, for images of 8 x 8 pixels."""
    from fedgen_bench_plugins.backbones.unet import ConditionalUNet, new_context, quiet_diffusers

    with quiet_diffusers(), seeded_globals(5):
        from diffusers import UNet2DConditionModel

        context = new_context(_N_CLASSES, 2, _UNET["cross_attention_dim"])
        return ConditionalUNet(UNet2DConditionModel(**_UNET), context).eval()


def _images() -> Tensors:
    import torch

    random = torch.Generator().manual_seed(4)
    return {
        "images": torch.rand(_N_EXAMPLES, 3, 8, 8, generator=random) * 2 - 1,
        "timesteps": torch.randint(1000, (_N_EXAMPLES,), generator=random),
        "labels": torch.arange(_N_EXAMPLES) % (_N_CLASSES + 1),
    }


def _noise(module: nn.Module, batch: Tensors) -> torch.Tensor:
    """Predicted noise, of the images' shape."""
    noise: torch.Tensor = module(batch["images"], batch["timesteps"], batch["labels"])
    return noise


def _noise_loss(module: nn.Module, batch: Tensors, generator: torch.Generator) -> torch.Tensor:
    import torch

    noise = torch.randn(batch["images"].shape, generator=generator).to(batch["images"].device)
    return (_noise(module, {**batch, "images": batch["images"] + noise}) - noise).square().mean()


LANGUAGE_MODEL = Ground(load=_language_model, inputs=_text, outputs=_logits, loss=_next_token_loss)
LLAMA = Ground(load=_llama, inputs=_text, outputs=_logits, loss=_next_token_loss)
UNET = Ground(load=_unet, inputs=_images, outputs=_noise, loss=_noise_loss)
