"""Denoising U-Nets: a diffusers model behind one call for all kinds, loaded with its scheduler from folder or hub.

A folder is laid out as diffusers does, with the U-Net in `unet/` and the scheduler in `scheduler/`, or both at the top.
`context.safetensors` beside them holds the context tokens that stand for class labels.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from fedgen_bench import DataError, seeded_globals
from fedgen_bench_plugins.backbones.completeness import check_complete
from fedgen_bench_plugins.backbones.folders import check_folder, check_safetensors
from fedgen_bench_plugins.backbones.holding import hold
from fedgen_bench_plugins.backbones.options import AS_IT_IS, Loading
from fedgen_bench_plugins.backbones.shipped import UNETS, weights_sha256
from fedgen_bench_plugins.backbones.unet_checks import probe, unfit

CONTEXT = "context.safetensors"
_N_NEW_TOKENS = 4


class ConditionalUNet(nn.Module):
    """A diffusers U-Net that is called with images, timesteps and labels and gives what it predicts (`prediction`).

    A U-Net for fewer, deeper pixels (in_channels = 3 f^2) gets the image with f x f pixels folded into channels.

    Args:
        unet: `UNet2DConditionModel` (labels become context tokens) or `UNet2DModel` (labels become its class embedding,
            where it has one).
        context: tokens of every label, shape (n_classes + 1, n_tokens, width); the last row stands for no label.
        n_classes: labels are 0 to n_classes - 1; a class embedding with one row more has its last one for no label.
    """

    row_tables = ("context",)

    def __init__(self, unet: Any, context: torch.Tensor | None = None, n_classes: int | None = None) -> None:
        super().__init__()
        self.unet, self.n_classes = unet, n_classes
        self.fold = math.isqrt(unet.config.in_channels // 3)
        self.context = None if context is None else nn.Parameter(context)

    @property
    def image_size(self) -> int:
        """Height and width of the images, in pixels."""
        return int(self.unet.config.sample_size) * self.fold

    @property
    def null_label(self) -> int | None:
        """The label that stands for none; None when the U-Net knows no such label."""
        if self.context is not None:
            return len(self.context) - 1
        embedded = self.unet.config.get("num_class_embeds") if self.labelled else None
        return self.n_classes if embedded is not None and embedded - 1 == self.n_classes else None

    @property
    def labelled(self) -> bool:
        """Whether what it predicts depends on labels."""
        return self.context is not None or getattr(self.unet, "class_embedding", None) is not None

    def forward(self, images: torch.Tensor, timesteps: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """What is predicted, of the images' shape (n, 3, height, width)."""
        folded = pixel_unshuffle(images, self.fold)
        if self.context is not None:
            predicted = self.unet(folded, timesteps, encoder_hidden_states=self.context[labels]).sample
        elif self.labelled:
            predicted = self.unet(folded, timesteps, class_labels=labels).sample
        else:
            predicted = self.unet(folded, timesteps).sample
        return pixel_shuffle(predicted, self.fold)


@dataclass(frozen=True)
class UNetBackbone:
    """A U-Net on the CPU with its noise scheduler, computing in fp32; `sha256` names its weights."""

    name: str
    module: ConditionalUNet
    scheduler: Any
    sha256: str


@contextmanager
def quiet_diffusers() -> Iterator[None]:
    """Import and use diffusers without its progress bars and deprecation notes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        from diffusers.utils import logging

        logging.disable_progress_bar()
        logging.set_verbosity_error()
        yield


def new_context(n_classes: int, n_tokens: int, width: int, key: int = 0) -> torch.Tensor:
    """Standard normal context tokens, shape (n_classes + 1, n_tokens, width), always the same for a key."""
    return torch.randn(n_classes + 1, n_tokens, width, generator=torch.Generator().manual_seed(key))


def read_unet(
    name: str, where: Path | str, *, n_classes: int, image_size: int | None, local: bool, loading: Loading = AS_IT_IS
) -> UNetBackbone:
    """Load a U-Net and its scheduler; weights are safetensors only.

    Where there is no size the images are made to fit, and their labels are new to it: it keeps its context tokens for
    no label alone.

    Raises:
        DataError: it cannot be had, is not whole, is for other images or classes, or predicts what has no loss here.
    """
    with quiet_diffusers():
        try:
            unet, info = _read_model(place(where, "unet", loading, local=local), loading)
            scheduler = _read_scheduler(place(where, "scheduler", loading, local=local))
            context = _read_context(where) if local else None
        except DataError as error:
            raise DataError(
                f"Backbone `{name}` cannot be loaded: {error} Shipped U-Nets are {', '.join(UNETS)}."
            ) from None
        except Exception as error:  # noqa: BLE001 - what others put into a folder makes its readers raise anything
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise DataError(
                f"Backbone `{name}` cannot be loaded ({reason}). Give a shipped name ({', '.join(UNETS)}), a local "
                "folder with a diffusers U-Net (config.json and safetensors weights) and its scheduler_config.json, or "
                "a hub name where the hub can be reached."
            ) from None
    check_complete(f"Backbone `{name}`", unet, info)
    if problem := unfit(unet, scheduler, n_classes=n_classes, image_size=image_size):
        raise DataError(f"Backbone `{name}` {problem}")
    width = unet.config.get("cross_attention_dim")
    if context is None and type(unet).__name__ == "UNet2DConditionModel":
        if place(where, "text_encoder", loading, local=local).inner:
            raise DataError(
                f"Backbone `{name}` is conditioned on texts (it comes with a `text_encoder`), and images here have "
                f"labels. Use a U-Net without, or put tokens of every label beside it as `{CONTEXT}`."
            )
        context = new_context(n_classes, _N_NEW_TOKENS, width)
    if context is not None and image_size is None:
        context = torch.cat([new_context(n_classes, *context.shape[1:])[:-1], context[-1:]])
    if context is not None and (context.ndim != 3 or len(context) != n_classes + 1 or context.shape[2] != width):  # noqa: PLR2004 - classes, tokens, width
        raise DataError(
            f"Backbone `{name}` has context tokens of shape {tuple(context.shape)}; {n_classes} classes need "
            f"({n_classes + 1}, any, {width}). Use another data set or backbone."
        )
    hold(name, unet, loading)
    module = ConditionalUNet(unet, context, n_classes).eval()
    probe(name, module, n_classes=n_classes, image_size=module.image_size)
    return UNetBackbone(name, module, scheduler, weights_sha256(module))


@dataclass(frozen=True)
class Part:
    """Where a part of a model is, as diffusers' `from_pretrained` has it; `inner` where it has a folder of its own."""

    root: Path | str
    inner: str
    how: dict[str, Any]


def place(where: Path | str, inner: str, loading: Loading, *, local: bool) -> Part:
    """Where the part `inner` of a model is, which lies in a folder of its own or at the top."""
    if local:
        own = inner if (Path(where) / inner).is_dir() else ""
        return Part(where, own, {"subfolder": own or None, "local_files_only": True})
    from huggingface_hub import list_repo_files

    base = f"{loading.subfolder}/" if loading.subfolder else ""
    files = list_repo_files(str(where), revision=loading.revision)
    own = inner if any(file.startswith(f"{base}{inner}/") for file in files) else ""
    whole = f"{base}{own}".rstrip("/")
    return Part(where, own, {"subfolder": whole or None, "local_files_only": False, "revision": loading.revision})


def _read_model(part: Part, loading: Loading) -> tuple[Any, Any]:
    """The model, and what its file lacked or had over; global streams stay where they are."""
    from diffusers import UNet2DConditionModel, UNet2DModel

    if part.how["local_files_only"]:
        check_folder(Path(part.root) / part.inner, "diffusion_pytorch_model")
    kind = UNet2DModel.load_config(part.root, **part.how).get("_class_name")
    known = {one.__name__: one for one in (UNet2DModel, UNet2DConditionModel)}
    if kind not in known:
        raise ValueError(f"it is a {kind}, which is none of {', '.join(known)}")
    checks = {"output_loading_info": True, "ignore_mismatched_sizes": True, "low_cpu_mem_usage": False}
    with seeded_globals(0):
        model, info = known[kind].from_pretrained(
            part.root, torch_dtype=loading.torch_dtype, use_safetensors=True, **checks, **part.how
        )
    return model, info


def _read_scheduler(part: Part) -> Any:
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler.from_pretrained(part.root, **part.how)
    written = DDPMScheduler.load_config(part.root, **part.how).get("_class_name")
    if written not in {None, *(one.__name__ for one in (DDPMScheduler, *scheduler.compatibles))}:
        raise DataError(f"its scheduler is a {written}, whose noise is not DDPM's. Use a U-Net trained with DDPM's.")
    return scheduler


def _read_context(where: Path | str) -> torch.Tensor | None:
    from safetensors.torch import load_file

    path = Path(where) / CONTEXT
    if not path.is_file():
        return None
    check_safetensors(path)
    tensors = load_file(path)
    if tensors.keys() != {"context"} or not tensors["context"].isfinite().all():
        raise DataError(f"{path} holds {sorted(tensors)}, not finite tokens `context` alone. Save those there.")
    context: torch.Tensor = tensors["context"]
    return context.float()
