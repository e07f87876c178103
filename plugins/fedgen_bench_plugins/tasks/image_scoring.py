"""Images that are evaluated, and how well their noise is predicted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn

_GOLDEN_RATIO = 0.6180339887498949


@dataclass(frozen=True)
class EvalImages:
    """Images to be scored, and to be compared with generated ones where `n_samples` is not 0.

    Args:
        part: `valid` or `test`; empty for a client's own.
    """

    pixels: torch.Tensor
    labels: torch.Tensor
    n_scored: int
    n_samples: int = 0
    part: str = ""


def noise_evidence(
    module: nn.Module, scheduler: Any, data: EvalImages, generator: torch.Generator, *, n_levels: int, n_batch: int
) -> dict[str, Any]:
    """`noise_error` and `n_noise_errors` of every scored image at `n_levels` timesteps, one in each equal part of all.

    Where in the part is a golden-ratio sequence over the images: all of it is covered evenly, for every seed alike.
    Noise is drawn from `generator`, on the CPU; a pass has `n_batch` images.
    """
    import torch

    from fedgen_bench_plugins.backbones.diffusion import noise_errors, to_unit

    device = next(module.parameters()).device
    chosen = torch.linspace(0, len(data.labels) - 1, min(data.n_scored, len(data.labels))).round().long()
    within = torch.arange(len(chosen), dtype=torch.float64)[:, None] * _GOLDEN_RATIO % 1
    timesteps = ((torch.arange(n_levels) + within) / n_levels * len(scheduler.alphas_cumprod)).long().flatten()
    noise = torch.randn((len(timesteps), *data.pixels.shape[1:]), generator=generator)
    which = chosen.repeat_interleave(n_levels)
    total = 0.0
    for part in torch.arange(len(which)).split(n_batch):
        images = to_unit(data.pixels[which[part]]).to(device)
        rest = (one[part].to(device) for one in (data.labels[which], timesteps, noise))
        total += float(noise_errors(module, scheduler, images, *rest).cpu().sum(dtype=torch.float64))
    return {"noise_error": total, "n_noise_errors": float(len(which))}
