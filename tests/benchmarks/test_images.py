"""Training steps and sampled images of the diffusion task against bare loops on the same U-Net."""

from __future__ import annotations

import math

import numpy as np
import torch

from fedgen_bench.contract.messages import Fit
from fedgen_bench.contract.seeds import SeedTree
from fedgen_bench.federation.batches import FitStreams, batch_order
from fedgen_bench.federation.components import build
from fedgen_bench.federation.parameters import dump_tensors
from fedgen_bench.federation.trainer import TrainingPlan, fit
from fedgen_bench.registry.datasets import finder
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.suite.schema import Component

SEEDS = SeedTree("task", "adapter", "partitioner", "strategy", 1)
STREAMS = FitStreams(SEEDS, 0, 0)
N_STEPS, N_IMAGES, SAMPLER_STEPS = 6, 50, 10


def task_of(backbone):
    """The task on tiny shapes: 16 x 16 images, and a backbone for them."""
    registry = load_registry()
    params = {"dataset": "tiny-shapes", "backbone": backbone, "snr_gamma": None, "flip": False,
              "sampler_steps": SAMPLER_STEPS, "optional_extractors": []}  # fmt: skip
    return build(registry, "task", Component(name="image_generation", params=params)).load(finder(registry))


def bare_steps(model, alphas, start, tensors, plan):
    """DDPM training as anybody would write it: draw, noise, predict, AdamW, clip."""
    parameters = list(model.parameters())
    with torch.no_grad():
        for parameter, value in zip(parameters, start, strict=True):
            parameter.copy_(value)
    model.train()
    optimizer = torch.optim.AdamW(parameters, lr=plan.learning_rate, fused=True, weight_decay=0.0)
    rng = SEEDS.numpy("batches", round_index=0, client_id=0, purpose=STREAMS.purpose)
    for batch in batch_order(len(tensors["labels"]), plan.batch_size, N_STEPS, rng):
        index = torch.from_numpy(batch)
        images = tensors["pixels"][index].float() / 127.5 - 1
        timesteps = torch.randint(len(alphas), (len(images),))
        noise = torch.randn_like(images)
        abar = alphas[timesteps][:, None, None, None]
        predicted = model(abar.sqrt() * images + (1 - abar).sqrt() * noise, timesteps, tensors["labels"][index])
        (predicted - noise).square().mean().backward()
        torch.nn.utils.clip_grad_norm_(parameters, plan.clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    model.eval()


def test_training_step_of_the_tiny_unet_against_a_bare_loop(against):
    task = task_of("tiny-shapes-unet")
    registry = load_registry()
    full = build(registry, "adapter", Component(name="full"))
    adapted = full.attach(task.new_module(), SEEDS)
    data = task.client_data(np.arange(60)).train
    plan = TrainingPlan(optimizer="adamw", learning_rate=1e-4, batch_size=16, local_steps=N_STEPS, clip_norm=1.0)
    start = dump_tensors(adapted.trainable)
    values = [parameter.detach().clone() for parameter in adapted.module.parameters()]
    alphas = task.backbone.scheduler.alphas_cumprod
    _, report = against(
        "bare PyTorch loop",
        lambda: bare_steps(adapted.module, alphas, values, data.tensors, plan),
        lambda: fit(adapted, task, data, Fit(start), plan, STREAMS, N_STEPS),
        10, N_STEPS, "step",
    )  # fmt: skip
    assert math.isfinite(report.mean_loss)


@torch.inference_mode()
def bare_samples(model, alphas):
    """DDIM by its formula, without a scheduler object."""
    images, labels = torch.randn(N_IMAGES, 3, 16, 16), torch.arange(N_IMAGES) % 10
    stride = len(alphas) // SAMPLER_STEPS
    for timestep in range((SAMPLER_STEPS - 1) * stride, -1, -stride):
        abar = alphas[timestep]
        before = alphas[timestep - stride] if timestep >= stride else torch.ones(())
        noise = model(images, torch.full((N_IMAGES,), timestep), labels)
        clean = ((images - (1 - abar).sqrt() * noise) / abar.sqrt()).clamp(-1, 1)
        noise = (images - abar.sqrt() * clean) / (1 - abar).sqrt()
        images = before.sqrt() * clean + (1 - before).sqrt() * noise
    return images


def test_sampled_image_of_the_tiny_unet_against_a_bare_loop(against):
    task = task_of("tiny-shapes-unet")
    module, alphas = task.new_module(), task.backbone.scheduler.alphas_cumprod
    labels = torch.arange(N_IMAGES) % 10

    def ours():
        with torch.inference_mode():
            return task._generate(module, labels, SEEDS, "samples/test")

    _, pixels = against("bare DDIM", lambda: bare_samples(module, alphas), ours, 10, N_IMAGES, "image")
    assert len(pixels) == N_IMAGES
