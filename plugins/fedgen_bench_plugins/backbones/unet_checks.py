"""Whether a U-Net and its scheduler are for the images, the labels and the loss of a task, before training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from fedgen_bench import DataError
from fedgen_bench_plugins.backbones.prediction import KINDS

if TYPE_CHECKING:
    from torch import nn

_LATENT_CHANNELS = 4
_LABEL_EMBEDDINGS = (None, "timestep")  # a table with a row a class, or labels as numbers; other types take vectors


def unfit(unet: Any, scheduler: Any, *, n_classes: int, image_size: int | None) -> str:
    """What is wrong with the parts, in two sentences that follow "Backbone `x` ", or nothing."""
    return _channels(unet.config, image_size) or _conditions(unet.config, n_classes) or _schedule(scheduler)


def _channels(config: Any, image_size: int | None) -> str:
    n_in, n_out = config.in_channels, config.out_channels
    fold = math.isqrt(max(n_in // 3, 0))
    if n_out == 2 * n_in:
        return f"predicts a variance too ({n_out} channels out of {n_in}). Use one without."
    if n_in == n_out == _LATENT_CHANNELS:
        return (
            f"works on an autoencoder's latents ({n_in} channels), as Stable Diffusion's does; images here are pixels. "
            "Use a U-Net for pixels."
        )
    if fold < 1 or n_in != 3 * fold * fold or n_out != n_in:
        return (
            f"takes {n_in} channels and gives {n_out}; colour images need 3 (or 3 f^2, pixels folded) in and out. "
            "Use another U-Net."
        )
    size = config.sample_size
    if not isinstance(size, int):
        side = "" if image_size is None else f", {image_size // fold}"
        return f"has sample_size {size} in its config. Write the images' side there{side}."
    if image_size is not None and size * fold != image_size:
        return f"is for images of {size} x {fold} pixels a side; the data have {image_size}. Use other images."
    return ""


def _conditions(config: Any, n_classes: int) -> str:
    if not isinstance(config.get("cross_attention_dim", 0), int):
        return "takes contexts of several widths. Use one with a single cross_attention_dim."
    kind, n_known = config.get("class_embed_type"), config.get("num_class_embeds")
    others = ("addition_embed_type", "encoder_hid_dim_type", "time_cond_proj_dim")
    asked = [f"{name} `{config.get(name)}`" for name in others if config.get(name)]
    if kind not in _LABEL_EMBEDDINGS:
        asked.append(f"class_embed_type `{kind}`")
    if asked:
        return f"asks for conditions that images with labels do not have ({', '.join(asked)}). Use a U-Net without."
    if (kind or n_known) is not None and "cross_attention_dim" in config:
        what = f"num_class_embeds {n_known}" if kind is None else f"class_embed_type `{kind}`"
        return f"takes class labels ({what}) beside a context. Use one with the context alone."
    if kind is None and n_known is not None and n_known not in {n_classes, n_classes + 1}:
        return (
            f"knows {n_known} classes (num_class_embeds); the data have {n_classes}. Use other data, or a U-Net for "
            f"{n_classes} classes ({n_classes + 1} where the last one stands for no label)."
        )
    return ""


def _schedule(scheduler: Any) -> str:
    config = scheduler.config
    if config.prediction_type not in KINDS:
        return (
            f"predicts `{config.prediction_type}`, for which there is no loss here. Use one whose prediction_type is "
            f"{', '.join(f'`{kind}`' for kind in KINDS)}."
        )
    if config.thresholding:
        return "asks for dynamic thresholding, which the sampler does not know. Set thresholding to false."
    return ""


def probe(name: str, module: nn.Module, *, n_classes: int, image_size: int) -> None:
    """Call the module once with an image a label.

    Raises:
        DataError: it fails, or gives no finite noise of the images' shape.
    """
    images = torch.zeros(n_classes, 3, image_size, image_size)
    try:
        with torch.inference_mode():
            noise = module(images, torch.zeros(n_classes, dtype=torch.long), torch.arange(n_classes))
    except Exception as error:  # noqa: BLE001 - any architecture
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(
            f"Backbone `{name}` fails on images of {image_size} pixels a side with labels 0 to {n_classes - 1} "
            f"({reason}). Use a U-Net for such images, whose side its levels can halve."
        ) from None
    if noise.shape != images.shape or not noise.isfinite().all():
        raise DataError(
            f"Backbone `{name}` gives noise of shape {tuple(noise.shape)} for images of shape {tuple(images.shape)}, "
            f"{'' if noise.isfinite().all() else 'not '}all of it finite. Use a U-Net whose weights are whole."
        )
