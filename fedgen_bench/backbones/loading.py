"""Backbones by name: causal language models with their tokenizers, denoising U-Nets with their noise schedulers.

Weights are safetensors only.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedgen_bench.backbones.shipped import LANGUAGE_MODELS, locate, weights_sha256
from fedgen_bench.errors import DataError
from fedgen_bench.files import sha256_of

if TYPE_CHECKING:
    from torch import nn

    from fedgen_bench.backbones.unet import UNetBackbone


@dataclass(frozen=True)
class Backbone:
    """A causal language model in fp32 on the CPU with its tokenizer; `sha256` names its weights."""

    name: str
    module: nn.Module
    tokenizer: Any
    eos_id: int
    sha256: str


def load_backbone(name: str) -> Backbone:
    """Load a causal LM with `AutoModelForCausalLM` from `name`.

    Raises:
        DataError: the model cannot be had, or its weights are not safetensors.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    where = locate(name)
    local = isinstance(where, Path)
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning)
            module = AutoModelForCausalLM.from_pretrained(
                where, dtype=torch.float32, use_safetensors=True, trust_remote_code=False, local_files_only=local
            )
            tokenizer = AutoTokenizer.from_pretrained(where, trust_remote_code=False, local_files_only=local)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"Backbone `{name}` cannot be loaded ({reason}). Give a shipped name ({', '.join(LANGUAGE_MODELS)}), "
            "a local folder with config.json, model.safetensors and tokenizer, or a hub name where the hub can be "
            "reached."
        ) from None
    if tokenizer.eos_token_id is None:
        raise DataError(
            f"Backbone `{name}` has no end-of-sequence token, which stands for line ends. Add `eos_token` to its "
            "tokenizer."
        )
    whole = Path(where) / "model.safetensors"
    sha256 = sha256_of(whole) if local and whole.is_file() else weights_sha256(module)
    return Backbone(name, module.eval(), tokenizer, int(tokenizer.eos_token_id), sha256)


def load_unet(name: str, *, n_classes: int, image_size: int) -> UNetBackbone:
    """Load a diffusers U-Net for images of `image_size` pixels a side and labels 0 to n_classes - 1.

    Raises:
        DataError: the model cannot be had, or is for other images or classes.
    """
    from fedgen_bench.backbones.unet import read_unet

    where = locate(name)
    return read_unet(name, where, n_classes=n_classes, image_size=image_size, local=isinstance(where, Path))
