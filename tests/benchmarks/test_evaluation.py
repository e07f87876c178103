"""What a cell's evaluation costs against bare loops over the same text, and over as many sampled images."""

from __future__ import annotations

import math

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.nn.functional import cross_entropy

from fedgen_bench.contract.messages import Model
from fedgen_bench.federation.assembly import assemble
from fedgen_bench.federation.loader import Loader
from fedgen_bench.registry.datasets import finder
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.suite.cells import expand
from fedgen_bench.suite.load import load_suite

LINES, CONTEXT, WINDOWS = 300, 128, 8
TEXT = ("training.precision=fp32", "task.params.dataset=tiny-wire", f"task.params.valid_subset_lines={LINES}",
        f"task.params.context_tokens={CONTEXT}", f"task.params.stride_tokens={CONTEXT}",
        f"task.params.batch_windows={WINDOWS}")  # fmt: skip


def experiment_of(suite, contender, *overrides):
    registry = load_registry()
    suite = load_suite(registry.get("suite", suite).spec, registry, overrides)
    (spec,) = expand(suite, registry, contenders=[contender], seeds=[1])
    return assemble(spec, Loader(registry, finder(registry)), torch.device("cpu"))


def plain_lora(module, adapted):
    """The same adapter as peft makes it."""
    (pair, *_), ranks = adapted.low_rank, {one.module.rpartition(".")[2]: one.rank for one in adapted.low_rank}
    config = LoraConfig(
        r=pair.rank, lora_alpha=pair.scale * pair.rank, target_modules=list(ranks), fan_in_fan_out=True,
        rank_pattern=ranks, alpha_pattern={name: pair.scale * rank for name, rank in ranks.items()},
    )  # fmt: skip
    return get_peft_model(module, config).eval()


@torch.inference_mode()
def bare_loss(module, stream):
    """Every token after the first, in windows that follow each other: the model and cross-entropy, nothing else.

    The last window ends with the text and scores what the others left.
    """
    n_full = (len(stream) - 1) // CONTEXT
    inputs, targets = (stream[i : i + n_full * CONTEXT].view(n_full, CONTEXT) for i in (0, 1))
    total = 0.0
    for some, wanted in zip(inputs.split(WINDOWS), targets.split(WINDOWS), strict=True):
        total += float(cross_entropy(module(input_ids=some).logits.flatten(0, 1), wanted.flatten(), reduction="sum"))
    if rest := (len(stream) - 1) % CONTEXT:
        logits = module(input_ids=stream[None, -CONTEXT - 1 : -1]).logits[0, -rest:]
        total += float(cross_entropy(logits, stream[-rest:], reduction="sum"))
    return total


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("contender", ["frozen", "fedgen_edge"])
@pytest.mark.parametrize(("backbone", "rounds"), [("tiny-wire-lm", 10), ("mini-lm", 5)])
def test_text_against_a_bare_loop(against, backbone, rounds, contender):
    experiment = experiment_of("ptb", contender, *TEXT, f"task.params.backbone={backbone}")
    task, adapted = experiment.task, experiment.adapted
    data = task.split("valid_subset")
    bare = task.new_module().eval()
    if adapted.low_rank:
        bare = plain_lora(bare, adapted)
    stream = torch.cat([torch.tensor([task.backbone.eos_id]), data.tokens])
    loss, measured = against(
        "bare loop", lambda: bare_loss(bare, stream),
        lambda: experiment.evaluator.measure(Model(experiment.start), data), rounds, len(data.tokens), "token",
    )  # fmt: skip
    assert math.isclose(measured["perplexity_per_word"], math.exp(loss / data.n_words), rel_tol=1e-4)


@torch.inference_mode()
def bare_samples(module, alphas, n_images, n_steps, n_together=50):
    """DDIM by its formula."""
    done = []
    for first in range(0, n_images, n_together):
        labels = torch.arange(first, min(first + n_together, n_images)) % 10
        images, stride = torch.randn(len(labels), 3, 16, 16), len(alphas) // n_steps
        for timestep in range((n_steps - 1) * stride, -1, -stride):
            abar = alphas[timestep]
            before = alphas[timestep - stride] if timestep >= stride else torch.ones(())
            noise = module(images, torch.full((len(labels),), timestep), labels)
            clean = ((images - (1 - abar).sqrt() * noise) / abar.sqrt()).clamp(-1, 1)
            noise = (images - abar.sqrt() * clean) / (1 - abar).sqrt()
            images = before.sqrt() * clean + (1 - before).sqrt() * noise
        done.append(images)
    return torch.cat(done)


@pytest.mark.filterwarnings("ignore")
def test_images_with_features_and_distances_against_bare_samples(against):
    experiment = experiment_of("quick-images", "frozen")
    task = experiment.task
    params, data, alphas = task.params, task.split("test"), task.backbone.scheduler.alphas_cumprod
    module = task.new_module().eval()
    images, measured = against(
        "bare DDIM", lambda: bare_samples(module, alphas, params.n_samples, params.sampler_steps, params.batch_images),
        lambda: experiment.evaluator.measure(Model(experiment.start), data), 5, params.n_samples, "image",
    )  # fmt: skip
    assert len(images) == params.n_samples
    assert all(map(math.isfinite, measured.values()))
