"""Backbones by name: causal language models with their tokenizers, denoising U-Nets with their noise schedulers.

Weights are safetensors only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedgen_bench import DataError, sha256_of
from fedgen_bench_plugins.backbones.completeness import check_complete
from fedgen_bench_plugins.backbones.folders import check_folder, check_tokenizer_files, chosen_within
from fedgen_bench_plugins.backbones.options import AS_IT_IS, Loading
from fedgen_bench_plugins.backbones.probes import check_causal, check_tokenizer
from fedgen_bench_plugins.backbones.quiet import quiet_transformers
from fedgen_bench_plugins.backbones.shipped import LANGUAGE_MODELS, locate, weights_sha256

if TYPE_CHECKING:
    from torch import nn

    from fedgen_bench_plugins.backbones.unet import UNetBackbone


@dataclass(frozen=True)
class Backbone:
    """A causal language model on the CPU with its tokenizer, computing in fp32; `sha256` names its weights."""

    name: str
    module: nn.Module
    tokenizer: Any
    eos_id: int
    sha256: str

    @property
    def n_parameters(self) -> int:
        """How many numbers it has; several of a quantised weight share a byte."""
        shapes = (getattr(getattr(one, "quant_state", None), "shape", one.shape) for one in self.module.parameters())
        return sum(map(math.prod, shapes))


def load_backbone(name: str, find: Callable[[str | Path], Path] | None = None, loading: Loading = AS_IT_IS) -> Backbone:
    """Load a causal LM with `AutoModelForCausalLM` from `name`; a GPT-2 comes with a forward pass of its own.

    `find` gives the folders of registered backbones.

    Raises:
        DataError: the model cannot be had, its weights are not safetensors or not all there, its tokenizer is not
            there or not its own, or it is not causal.
    """
    from fedgen_bench_plugins.backbones.gpt2 import made_lean
    from fedgen_bench_plugins.backbones.holding import hold, quantized

    where = chosen_within(name, locate(name, find), loading)
    how, local = quantized(loading), isinstance(where, Path)
    try:
        if isinstance(where, Path):
            check_folder(where)
            check_tokenizer_files(where)
        module, tokenizer, info = _read(where, loading, how)
    except DataError as error:
        raise DataError(
            f"Backbone `{name}` cannot be loaded: {error} Our language models are {', '.join(LANGUAGE_MODELS)}."
        ) from None
    except Exception as error:  # noqa: BLE001 - what others put into a folder makes its readers raise anything
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        place = "" if local else "there is no folder of this name, and "
        raise DataError(
            f"Backbone `{name}` cannot be loaded ({place}{reason}). Give one of our names "
            f"({', '.join(LANGUAGE_MODELS)}), a local folder with config.json, model.safetensors and tokenizer, or a "
            "hub name where the hub can be reached."
        ) from None
    check_complete(f"Backbone `{name}`", module, info)
    hold(name, module, loading)
    check_tokenizer(name, tokenizer, module)
    check_causal(name, module)
    made_lean(module)
    whole = Path(where) / "model.safetensors"
    sha256 = sha256_of(whole) if local and whole.is_file() else weights_sha256(module)
    return Backbone(name, module, tokenizer, int(tokenizer.eos_token_id), sha256)


def _read(where: Path | str, loading: Loading, how: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """Model in evaluation mode, tokenizer, and what the file lacked or had over; global streams stay where they are."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place: dict[str, Any] = {"local_files_only": isinstance(where, Path), "trust_remote_code": False}
    if not isinstance(where, Path):
        place |= {"revision": loading.revision or "main", "subfolder": loading.subfolder or ""}
    with quiet_transformers():
        module, info = AutoModelForCausalLM.from_pretrained(
            where,
            dtype=loading.torch_dtype,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            **how,
            **place,
        )
        tokenizer = AutoTokenizer.from_pretrained(where, **place)
    return module.eval(), tokenizer, info


def load_unet(
    name: str,
    *,
    n_classes: int,
    image_size: int | None,
    find: Callable[[str | Path], Path] | None = None,
    loading: Loading = AS_IT_IS,
) -> UNetBackbone:
    """Load a diffusers U-Net for images of `image_size` pixels a side and labels 0 to n_classes - 1.

    Where there is no size the images are made to fit, and their labels are new to the backbone.

    Raises:
        DataError: the model cannot be had, is for other images or classes, or is asked for quantised.
    """
    from fedgen_bench_plugins.backbones.unet import read_unet

    if loading.quantization != "none":
        raise DataError(
            f"Backbone `{name}` is a U-Net, and bitsandbytes quantises language models. Leave `loading.quantization` "
            "out."
        )
    where = chosen_within(name, locate(name, find), loading)
    return read_unet(
        name, where, n_classes=n_classes, image_size=image_size, local=isinstance(where, Path), loading=loading
    )
