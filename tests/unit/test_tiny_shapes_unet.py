"""The generated U-Net: what it begins as, and what it knows once made."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fedgen_bench_plugins.backbones import diffusion, sampling, unet
from fedgen_bench_plugins.backbones.loading import load_unet
from fedgen_bench_plugins.backbones.tiny_shapes_unet import UNET, _begin_as_identity
from fedgen_bench_plugins.datasets import tiny_shapes

from fedgen_bench.contract.seeds import seeded_globals


@pytest.fixture(scope="module")
def made():
    return load_unet("tiny-shapes-unet", n_classes=10, image_size=16)


def test_unet_begins_by_predicting_the_noisy_image():
    with unet.quiet_diffusers(), seeded_globals(1):
        from diffusers import UNet2DConditionModel

        module = unet.ConditionalUNet(
            UNet2DConditionModel(**UNET), unet.new_context(10, 4, UNET["cross_attention_dim"])
        )
    _begin_as_identity(module.unet)
    images = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        noise = module(images, torch.full((8,), 900), torch.arange(8))
    assert np.corrcoef(images.flatten(), noise.flatten())[0, 1] > 0.9


def test_made_unet_denoises_shapes_it_knows_better_than_others(made):
    def error(classes):
        images = tiny_shapes.make(128, np.random.Generator(np.random.Philox(key=3)), classes)
        pixels, labels = diffusion.to_unit(torch.from_numpy(images.pixels)), torch.from_numpy(images.labels)
        noise = torch.randn(pixels.shape, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            timesteps = torch.arange(128) % 8 * 60 + 300
            return diffusion.noise_errors(made.module, made.scheduler, pixels, labels, timesteps, noise).mean().item()

    known = error(tiny_shapes.KNOWN)
    unknown = error([one for one in range(10) if one not in tiny_shapes.KNOWN])
    assert known < 0.2  # predicting no noise at all costs 1
    assert known < 0.95 * unknown


def test_made_unet_paints_bars_where_it_is_asked_for_them(made):
    """Of an image of horizontal bars, rows differ and columns do not; of a disc's both do alike."""
    latents = torch.randn(16, 3, 16, 16, generator=torch.Generator().manual_seed(0))

    def lying(name):
        labels = torch.full((16,), tiny_shapes.CLASSES.index(name))
        with torch.inference_mode():
            images = sampling.sample_ddim(
                made.module, made.scheduler, latents, labels, n_steps=10, guidance=2.0, null_label=10
            )
        down, across = images.mean(3).std(2), images.mean(2).std(2)
        return (down / across).mean().item()

    assert lying("horizontal bars") > 1.5 * lying("disc")
