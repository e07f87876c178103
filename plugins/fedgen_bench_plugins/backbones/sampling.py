"""Deterministic sampling, by DDIM or DPM-Solver++, along a scheduler's list of timesteps, which is checked first."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch

from fedgen_bench import DataError
from fedgen_bench_plugins.backbones.prediction import image_of, noise_of

if TYPE_CHECKING:
    from torch import nn

_MOST_LEFT_OUT = 0.1
_WHAT_TO_DO = "Choose a number of steps that divides the schedule's, or another timestep_spacing or steps_offset."


def ddim_timesteps(scheduler: Any, n_steps: int) -> list[int]:
    """The timesteps of a sampler of `n_steps`, falling, by the scheduler's timestep_spacing and steps_offset.

    Raises:
        DataError: they are not of the schedule, do not fall, begin far below its noisiest timestep, or begin where
            nothing of the image is left and noise is predicted, which does not tell the image there.
    """
    return _ddim(scheduler, n_steps)[1]


def _ddim(scheduler: Any, n_steps: int) -> tuple[Any, list[int]]:
    from diffusers import DDIMScheduler

    spacing = scheduler.config.timestep_spacing
    try:
        ddim = DDIMScheduler.from_config(scheduler.config)
        ddim.set_timesteps(n_steps)
    except (ValueError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(f"DDIM with {n_steps} steps cannot follow this scheduler ({reason}). {_WHAT_TO_DO}") from None
    timesteps: list[int] = ddim.timesteps.tolist()
    n = len(ddim.alphas_cumprod)
    if problem := _problem(timesteps, n, n_steps):
        raise DataError(f"DDIM with {n_steps} of {n} timesteps, `{spacing}` spacing, {problem}. {_WHAT_TO_DO}")
    if scheduler.config.prediction_type == "epsilon" and not ddim.alphas_cumprod[timesteps[0]] > 0:
        raise DataError(
            f"DDIM with {n_steps} of {n} timesteps begins at timestep {timesteps[0]}, where this scheduler leaves "
            "nothing of an image, so that no image follows from predicted noise. Set its timestep_spacing to `leading` "
            "or its rescale_betas_zero_snr to false."
        )
    return ddim, timesteps


def _problem(timesteps: list[int], n: int, n_steps: int) -> str:
    """What is wrong with a list of timesteps of a schedule of n, or nothing."""
    first, last = timesteps[0], timesteps[-1]
    if not 0 <= last <= first < n or len(timesteps) != n_steps or any(a <= b for a, b in pairwise(timesteps)):
        return f"goes from timestep {first} to {last} in {len(timesteps)} steps, and the schedule has 0 to {n - 1}"
    left_out = n - first - n // n_steps
    if first < n // 2 or left_out > _MOST_LEFT_OUT * n:
        return f"begins at timestep {first} and leaves the {n - 1 - first} noisier ones out, which latents stand for"
    return ""


def sample_ddim(
    module: nn.Module,
    scheduler: Any,
    latents: torch.Tensor,
    labels: torch.Tensor,
    *,
    n_steps: int,
    guidance: float = 1.0,
    null_label: int = -1,
    second_order: bool = False,
) -> torch.Tensor:
    """Deterministic DDIM (arXiv 2010.02502, eta = 0) from `latents`; images in [-1, 1] of the same shape.

    A step goes from a timestep of the list to the next one, and from the last one to the scheduler's end. With
    `guidance` w other than 1 the prediction is p_null + w (p_label - p_null) (arXiv 2207.12598), which takes two
    passes a step; `null_label` is the label that stands for none. With `second_order` it is DPM-Solver++(2M)
    (arXiv 2211.01095, algorithm 2), whose first and last steps are DDIM's; no step takes more passes for it.

    Raises:
        DataError: see `ddim_timesteps`.
    """
    ddim, timesteps = _ddim(scheduler, n_steps)
    alphas = [ddim.alphas_cumprod[timestep] for timestep in timesteps] + [ddim.final_alpha_cumprod]
    bound = ddim.config.clip_sample_range if ddim.config.clip_sample else None
    images, passed = latents, _Passed()
    for timestep, (now, then) in zip(timesteps, pairwise(alphas), strict=True):
        steps = torch.full((len(images),), timestep, device=images.device)
        predicted = module(images, steps, labels)
        if guidance != 1.0:
            without = module(images, steps, torch.full_like(labels, null_label))
            predicted = without + guidance * (predicted - without)
        noise, clean = (part(scheduler, predicted.float(), images, now) for part in (noise_of, image_of))
        if bound is not None:
            clean = clean.clamp(-bound, bound)
        if second_order and timestep not in (timesteps[0], timesteps[-1]):
            ahead = clean + passed.ahead(clean, now, then)
            noise = (images - now**0.5 * ahead) / (1 - now) ** 0.5
            images = _step(noise, ahead, then)
        else:
            images = _step(noise, clean, then)
        passed = _Passed(clean, now)
    return images


def _step(noise: torch.Tensor, clean: torch.Tensor, then: torch.Tensor) -> torch.Tensor:
    """Equation 12 of DDIM's paper to abar `then`."""
    return then**0.5 * clean + (1 - then) ** 0.5 * noise


@dataclass(frozen=True)
class _Passed:
    """The predicted image of the step before, and the abar that it was predicted at."""

    clean: torch.Tensor | float = 0.0
    abar: torch.Tensor | float = 0.0

    def ahead(self, clean: torch.Tensor, now: torch.Tensor, then: torch.Tensor) -> torch.Tensor:
        """What is added to `clean`: its change over the step before, by 2 r; r is that step by this one (log SNR)."""
        before, here, there = (torch.as_tensor(abar).logit() for abar in (self.abar, now, then))
        return (clean - self.clean) * ((there - here) / (2 * (here - before)))
