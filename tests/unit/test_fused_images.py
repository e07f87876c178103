"""Fits of several clients in one pass over a diffusion U-Net: noise, timesteps and flips are each client's own."""

from __future__ import annotations

import pytest
import torch
from fedgen_bench_plugins.adapters import bitfit, ia3, lora
from fedgen_bench_plugins.backbones import grounds
from fedgen_bench_plugins.backbones.unet import UNetBackbone
from fedgen_bench_plugins.tasks.image_generation import LoadedImageGeneration
from fedgen_bench_plugins.tasks.image_params import Params

from fedgen_bench import NoParams
from fedgen_bench.contract.data import Examples
from fedgen_bench.contract.messages import Fit
from fedgen_bench.contract.seeds import SeedTree
from fedgen_bench.federation.asked import Asked
from fedgen_bench.federation.batches import FitStreams
from fedgen_bench.federation.fused_check import agrees
from fedgen_bench.federation.fused_fit import fit_together
from fedgen_bench.federation.parameters import dump_tensors
from fedgen_bench.federation.trainer import TrainingPlan, fit

SEEDS = SeedTree("task", "adapter", "partitioner", "strategy", 1)
PLAN = TrainingPlan(optimizer="adamw", learning_rate=1e-2, batch_size=4, clip_norm=1.0)
ADAPTERS = {
    "lora": lora.LoRA(lora.Params(rank=2, targets=("to_q", "to_k", "to_v", "to_out.0"))),
    "ia3": ia3.IA3(ia3.Params(outputs=("to_k", "to_v"), inputs=("ff.net.2",))),
    "bitfit": bitfit.BitFit(NoParams()),
}


@pytest.fixture(scope="module")
def task():
    """The task as far as its loss needs it."""
    from diffusers import DDPMScheduler

    loaded = LoadedImageGeneration.__new__(LoadedImageGeneration)
    scheduler = DDPMScheduler(num_train_timesteps=100)
    loaded.params, loaded.backbone = Params(label_dropout=0.5), UNetBackbone("", grounds.UNET.backbone(), scheduler, "")
    return loaded


def asked(adapted):
    random, start = torch.Generator().manual_seed(1), dump_tensors(adapted.trainable)
    found = []
    for client, n in enumerate((8, 6, 3)):
        own = {name: one + 0.02 * torch.randn(one.shape, generator=random) for name, one in start.items()}
        pixels = torch.randint(0, 256, (n, 3, 8, 8), dtype=torch.uint8, generator=random)
        data = Examples({"pixels": pixels, "labels": torch.arange(n) % 4}, n)
        found.append(Asked(Fit(own), data, FitStreams(SEEDS, 0, client), 3))
    return found


@pytest.mark.parametrize("name", ADAPTERS)
def test_fused_fits_of_a_unet_equal_those_alone(name, task):
    adapted = ADAPTERS[name].attach(grounds.UNET.backbone(), SEEDS)
    fits = asked(adapted)
    assert agrees(adapted, task, task, fits, PLAN)
    together = fit_together(adapted, task, fits, PLAN)
    for ours, one in zip(together, fits, strict=True):
        theirs = fit(adapted, task, one.data, one.request, PLAN, one.streams, one.n_steps)
        assert ours.mean_loss == pytest.approx(theirs.mean_loss, rel=1e-4)
        assert ours.batch_digest == theirs.batch_digest
        moved, apart = (
            torch.cat([(end[key] - start[key]).flatten() for key in start]).norm()
            for end, start in ((theirs.tensors, one.request.start), (ours.tensors, theirs.tensors))
        )
        assert moved > 0
        assert apart <= 1e-2 * moved
