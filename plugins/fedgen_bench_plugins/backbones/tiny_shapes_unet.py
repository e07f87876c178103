"""The backbone of generated image suites: a small U-Net that knows four of the ten tiny shapes.

It begins as the identity (see `_begin_as_identity`), without which seconds of training would not be enough.
"""

from __future__ import annotations

import hashlib
import inspect
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from fedgen_bench import seeded_globals
from fedgen_bench_plugins.backbones import diffusion, prediction, unet
from fedgen_bench_plugins.datasets import tiny_shapes

UNET: dict[str, Any] = {
    "sample_size": tiny_shapes.SIZE // 2,
    "in_channels": 12,
    "out_channels": 12,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "mid_block_type": None,
    "up_block_types": ("UpBlock2D", "UpBlock2D"),
    "block_out_channels": (32, 32),
    "layers_per_block": 1,
    "cross_attention_dim": 32,
    "attention_head_dim": 4,
    "norm_num_groups": 8,
}
SCHEDULER: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_schedule": "squaredcos_cap_v2",
    "prediction_type": "epsilon",
    "clip_sample": True,
}
N_TOKENS, LABEL_DROPOUT = 4, 0.1
IMAGES, STEPS, BATCH, LEARNING_RATE, WARMUP_SHARE, EMA_DECAY, SNR_GAMMA, SEED = 4096, 600, 16, 3e-3, 0.1, 0.98, 5.0, 7


def recipe_digest() -> str:
    """Identity of what `make` gives: this file, those of the data, the model and the loss, and torch's version."""
    files = [inspect.getmodule(recipe_digest), tiny_shapes, unet, diffusion, prediction]
    text = "".join(inspect.getsource(one) for one in files)  # type: ignore[arg-type]
    return hashlib.sha256((text + torch.__version__).encode()).hexdigest()[:16]


def make(folder: Path) -> None:
    """Pretrain in seconds on images of the known shapes; save as diffusers lays a U-Net out, and its context tokens."""
    from safetensors.torch import save_file

    rng = np.random.Generator(np.random.Philox(key=SEED))
    images = tiny_shapes.make(IMAGES, rng, tiny_shapes.KNOWN)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with unet.quiet_diffusers(), seeded_globals(SEED):
        from diffusers import DDPMScheduler, UNet2DConditionModel

        context = unet.new_context(len(tiny_shapes.CLASSES), N_TOKENS, UNET["cross_attention_dim"], SEED)
        module = unet.ConditionalUNet(UNet2DConditionModel(**UNET), context)
        _begin_as_identity(module.unet)
        scheduler = DDPMScheduler(**SCHEDULER)
        _train(module, scheduler, diffusion.to_unit(torch.from_numpy(images.pixels)), images.labels, rng)
        cast("Any", module.unet).save_pretrained(folder / "unet", safe_serialization=True)
        scheduler.save_pretrained(folder / "scheduler")
    torch.set_num_threads(threads)
    save_file({"context": cast("nn.Parameter", module.context).detach()}, folder / unet.CONTEXT)


@torch.no_grad()
def _begin_as_identity(net: Any) -> None:
    """Let the U-Net predict the noisy image itself, which at high noise is nearly the noise.

    The first convolution hands every channel on as a pair (x, -x), the last skip takes the pairs to the last one past
    all residuals, which begin at zero, and there silu(x) - silu(-x) = x.
    """
    for one in net.modules():
        if type(one).__name__ == "ResnetBlock2D":
            one.conv2.weight.zero_()
            one.conv2.bias.zero_()
    n = net.config.in_channels
    pairs = torch.cat([torch.eye(n), -torch.eye(n)])
    first, last, skip = net.conv_in, net.conv_out, net.up_blocks[-1].resnets[-1].conv_shortcut
    first.weight[: 2 * n] = 0
    first.bias[: 2 * n] = 0
    first.weight[: 2 * n, :, 1, 1] = pairs
    skip.weight[: 2 * n] = 0
    skip.bias[: 2 * n] = 0
    skip.weight[: 2 * n, -len(first.weight) :][:, : 2 * n, 0, 0] = torch.eye(2 * n)
    last.weight.mul_(0.1)
    last.bias.zero_()
    last.weight[:, : 2 * n, 1, 1] += pairs.T


def _train(
    module: unet.ConditionalUNet, scheduler: Any, pixels: torch.Tensor, labels: np.ndarray, rng: np.random.Generator
) -> None:
    """Leave the moving average of the weights in `module`."""
    null = len(tiny_shapes.CLASSES)
    optimizer = torch.optim.AdamW(module.parameters(), lr=LEARNING_RATE, weight_decay=0.0, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=STEPS, pct_start=WARMUP_SHARE)
    average = [one.detach().clone() for one in module.parameters()]
    noise = torch.Generator().manual_seed(SEED)
    for _ in range(STEPS):
        index = rng.integers(len(labels), size=BATCH)
        given = np.where(rng.random(BATCH) < LABEL_DROPOUT, null, labels[index])
        loss = diffusion.training_loss(module, scheduler, pixels[index], torch.from_numpy(given), noise, SNR_GAMMA)
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        schedule.step()
        torch._foreach_lerp_(average, list(module.parameters()), 1 - EMA_DECAY)
    with torch.no_grad():
        for one, mean in zip(module.parameters(), average, strict=True):
            one.copy_(mean)
