"""What a U-Net predicts of a noised image x_t = a x_0 + s noise (a^2 = abar_t, s^2 = 1 - abar_t), by prediction_type.

`epsilon` is the noise, `sample` the image x_0, `v_prediction` the velocity a noise - s x_0 (arXiv 2202.00512).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

KINDS = ("epsilon", "sample", "v_prediction")


def target(scheduler: Any, images: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
    """What is to be predicted, of the images' shape (n, 3, height, width)."""
    kind = scheduler.config.prediction_type
    if kind == "epsilon":
        return noise
    if kind == "sample":
        return images
    return scheduler.get_velocity(images, noise, timesteps)  # type: ignore[no-any-return]


def noise_of(scheduler: Any, predicted: torch.Tensor, noised: torch.Tensor, abar: torch.Tensor) -> torch.Tensor:
    """The noise that a prediction comes to, of the images' shape.

    `noised` is x_t, `abar` that of its timesteps, without dimensions or of shape (n, 1, 1, 1).
    """
    kind = scheduler.config.prediction_type
    if kind == "epsilon":
        return predicted
    if kind == "sample":
        return (noised - abar**0.5 * predicted) / (1 - abar) ** 0.5
    return abar**0.5 * predicted + (1 - abar) ** 0.5 * noised


def image_of(scheduler: Any, predicted: torch.Tensor, noised: torch.Tensor, abar: torch.Tensor) -> torch.Tensor:
    """The image x_0 that a prediction comes to; arguments as of `noise_of`."""
    kind = scheduler.config.prediction_type
    if kind == "epsilon":
        return (noised - (1 - abar) ** 0.5 * predicted) / abar**0.5
    if kind == "sample":
        return predicted
    return abar**0.5 * noised - (1 - abar) ** 0.5 * predicted


def snr_weights(scheduler: Any, timesteps: torch.Tensor, gamma: float) -> torch.Tensor:
    """min-SNR-gamma weights of the prediction's squared error (arXiv 2303.09556, section 3.4), shape (n,).

    min(SNR_t, gamma) over SNR_t for the noise (at 0 its limit 1), over 1 for the image, over SNR_t + 1 for the
    velocity.
    """
    import torch

    abar: torch.Tensor = scheduler.alphas_cumprod.to(timesteps.device)[timesteps]
    snr, kind = abar / (1 - abar), scheduler.config.prediction_type
    if kind == "epsilon":
        return torch.where(snr > gamma, snr.clamp(max=gamma) / snr, 1.0)
    return snr.clamp(max=gamma) if kind == "sample" else snr.clamp(max=gamma) / (snr + 1)
