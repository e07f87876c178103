"""Small U-Nets in folders as diffusers lays them out, for tests of images."""

from __future__ import annotations

import torch
from fedgen_bench_plugins.backbones.unet import CONTEXT, quiet_diffusers, read_unet
from safetensors.torch import save_file

with quiet_diffusers():
    from diffusers import DDPMScheduler, UNet2DConditionModel, UNet2DModel

N_CLASSES, SIZE = 3, 16
BLOCKS = {
    "block_out_channels": (8, 16), "norm_num_groups": 4, "layers_per_block": 1, "attention_head_dim": 4,
}  # fmt: skip


def conditional_unet(**changes):
    with quiet_diffusers(), torch.random.fork_rng():
        torch.manual_seed(0)
        return UNet2DConditionModel(**{
            "sample_size": 8, "in_channels": 12, "out_channels": 12, "cross_attention_dim": 8,
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"), **BLOCKS, **changes,
        }).eval()  # fmt: skip


def plain_unet(**changes):
    with quiet_diffusers(), torch.random.fork_rng():
        torch.manual_seed(0)
        return UNet2DModel(**{
            "sample_size": 16, "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
            "up_block_types": ("AttnUpBlock2D", "UpBlock2D"), **BLOCKS, **changes,
        }).eval()  # fmt: skip


def scheduler(**changes):
    return DDPMScheduler(**{"num_train_timesteps": 40, "beta_schedule": "squaredcos_cap_v2", **changes})


def saved(folder, unet, noise=None, context=None, *, nested=True):
    with quiet_diffusers():
        unet.save_pretrained(folder / "unet" if nested else folder)
        (noise or scheduler()).save_pretrained(folder / "scheduler" if nested else folder)
    if context is not None:
        save_file({"context": context}, folder / CONTEXT)
    return folder


def own(folder):
    return read_unet("own", folder, n_classes=N_CLASSES, image_size=SIZE, local=True)
