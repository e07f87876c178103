"""Backbones by name: causal language models with their tokenizers, denoising U-Nets with their noise schedulers.

Weights are safetensors only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedgen_bench import DataError, sha256_of
from fedgen_bench_plugins.backbones.completeness import check_complete
from fedgen_bench_plugins.backbones.folders import check_folder, check_tokenizer_files
from fedgen_bench_plugins.backbones.probes import check_causal, check_tokenizer
from fedgen_bench_plugins.backbones.quiet import quiet_transformers
from fedgen_bench_plugins.backbones.shipped import LANGUAGE_MODELS, locate, weights_sha256

if TYPE_CHECKING:
    from torch import nn

    from fedgen_bench_plugins.backbones.unet import UNetBackbone


@dataclass(frozen=True)
class Backbone:
    """A causal language model in fp32 on the CPU with its tokenizer; `sha256` names its weights."""

    name: str
    module: nn.Module
    tokenizer: Any
    eos_id: int
    sha256: str


def load_backbone(name: str, find: Callable[[str | Path], Path] | None = None) -> Backbone:
    """Load a causal LM with `AutoModelForCausalLM` from `name`; a GPT-2 comes with a forward pass of its own.

    `find` gives the folders of registered backbones.

    Raises:
        DataError: the model cannot be had, its weights are not safetensors or not all there, its tokenizer is not
            there or not its own, or it is not causal.
    """
    from fedgen_bench_plugins.backbones.gpt2 import made_lean

    where = locate(name, find)
    local = isinstance(where, Path)
    try:
        if isinstance(where, Path):
            check_folder(where)
            check_tokenizer_files(where)
        module, tokenizer, info = _read(where, local=local)
    except DataError as error:
        raise DataError(
            f"Backbone `{name}` cannot be loaded: {error} Shipped language models are {', '.join(LANGUAGE_MODELS)}."
        ) from None
    except Exception as error:  # noqa: BLE001 - what others put into a folder makes its readers raise anything
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        place = "" if local else "there is no folder of this name, and "
        raise DataError(
            f"Backbone `{name}` cannot be loaded ({place}{reason}). Give a shipped name ({', '.join(LANGUAGE_MODELS)}),"
            " a local folder with config.json, model.safetensors and tokenizer, or a hub name where the hub can be "
            "reached."
        ) from None
    check_complete(f"Backbone `{name}`", module, info)
    check_tokenizer(name, tokenizer, module)
    check_causal(name, module)
    made_lean(module)
    whole = Path(where) / "model.safetensors"
    sha256 = sha256_of(whole) if local and whole.is_file() else weights_sha256(module)
    return Backbone(name, module, tokenizer, int(tokenizer.eos_token_id), sha256)


def _read(where: Path | str, *, local: bool) -> tuple[Any, Any, Any]:
    """Model in evaluation mode, tokenizer, and what the file lacked or had over; global streams stay where they are."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with quiet_transformers():
        module, info = AutoModelForCausalLM.from_pretrained(
            where,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=local,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
        tokenizer = AutoTokenizer.from_pretrained(where, trust_remote_code=False, local_files_only=local)
    return module.eval(), tokenizer, info


def load_unet(
    name: str, *, n_classes: int, image_size: int | None, find: Callable[[str | Path], Path] | None = None
) -> UNetBackbone:
    """Load a diffusers U-Net for images of `image_size` pixels a side and labels 0 to n_classes - 1.

    Where there is no size the images are made to fit, and their labels are new to the backbone.

    Raises:
        DataError: the model cannot be had, or is for other images or classes.
    """
    from fedgen_bench_plugins.backbones.unet import read_unet

    where = locate(name, find)
    return read_unet(name, where, n_classes=n_classes, image_size=image_size, local=isinstance(where, Path))
