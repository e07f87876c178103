"""Denoising diffusion, for pretraining and for tasks: pixels as images, the loss of what a U-Net predicts.

Images are fp32 in [-1, 1] of shape (n, 3, height, width); `module(images, timesteps, labels)` predicts their noise, or
what the scheduler's prediction_type says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from fedgen_bench import to_device
from fedgen_bench_plugins.backbones.prediction import noise_of, snr_weights, target

if TYPE_CHECKING:
    from torch import nn


def to_unit(pixels: torch.Tensor) -> torch.Tensor:
    """uint8 pixels as fp32 in [-1, 1]."""
    return pixels.float() / 127.5 - 1


def to_pixels(images: torch.Tensor) -> torch.Tensor:
    """fp32 in [-1, 1] as uint8 pixels; values beyond are cut."""
    return ((images.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def noised(scheduler: Any, images: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
    """x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) noise (arXiv 2006.11239, equation 4)."""
    return scheduler.add_noise(images, noise, timesteps)  # type: ignore[no-any-return]


def noise_errors(
    module: nn.Module,
    scheduler: Any,
    images: torch.Tensor,
    labels: torch.Tensor,
    timesteps: torch.Tensor,
    noise: torch.Tensor,
) -> torch.Tensor:
    """Squared error of the noise that the prediction comes to, mean over an image's values; fp32 of shape (n,)."""
    seen = noised(scheduler, images, noise, timesteps)
    predicted: torch.Tensor = module(seen, timesteps, labels)
    abar = scheduler.alphas_cumprod.to(timesteps.device)[timesteps][:, None, None, None]
    return (noise_of(scheduler, predicted.float(), seen, abar) - noise).square().mean(dim=(1, 2, 3))


@dataclass(frozen=True)
class Noising:
    """Images and what they are trained with: labels and timesteps of shape (n,), noise of the images' shape."""

    images: torch.Tensor
    labels: torch.Tensor
    timesteps: torch.Tensor
    noise: torch.Tensor


def drawn_noising(scheduler: Any, images: torch.Tensor, labels: torch.Tensor, generator: torch.Generator) -> Noising:
    """Timesteps and noise are drawn on the CPU from `generator`, so that every device sees the same ones."""
    timesteps = torch.randint(len(scheduler.alphas_cumprod), (len(images),), generator=generator)
    noise = torch.randn(images.shape, generator=generator)
    return Noising(images, labels, to_device(timesteps, images.device), to_device(noise, images.device))


def training_losses(
    module: nn.Module, scheduler: Any, batches: Sequence[Noising], snr_gamma: float | None = None
) -> list[torch.Tensor]:
    """`training_loss` of each batch, from one call of the module."""
    whole = batches[0]
    if len(batches) > 1:
        parts = ((one.images, one.labels, one.timesteps, one.noise) for one in batches)
        whole = Noising(*map(torch.cat, zip(*parts, strict=True)))
    seen = noised(scheduler, whole.images, whole.noise, whole.timesteps)
    wanted = target(scheduler, whole.images, whole.noise, whole.timesteps)
    errors = (module(seen, whole.timesteps, whole.labels).float() - wanted).square().mean(dim=(1, 2, 3))
    if snr_gamma is not None:
        errors = errors * snr_weights(scheduler, whole.timesteps, snr_gamma)
    return [some.mean() for some in errors.split([len(one.labels) for one in batches])]


def training_loss(
    module: nn.Module,
    scheduler: Any,
    images: torch.Tensor,
    labels: torch.Tensor,
    generator: torch.Generator,
    snr_gamma: float | None = None,
) -> torch.Tensor:
    """DDPM's simple loss (arXiv 2006.11239, equation 14) of what is predicted, weighted by min-SNR with `snr_gamma`."""
    noising = drawn_noising(scheduler, images, labels, generator)
    return training_losses(module, scheduler, [noising], snr_gamma)[0]
