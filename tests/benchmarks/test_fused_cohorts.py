"""Fits of several clients in one pass against the same fits one after the other, on LoRA of GPT-2 models."""

from __future__ import annotations

import pytest
import torch
from fedgen_bench_plugins.adapters import lora
from fedgen_bench_plugins.backbones.gpt2 import made_lean
from fedgen_bench_plugins.tasks.language_modeling import LoadedLanguageModeling

from fedgen_bench.base.allocator import keep_freed_memory
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
TASK = LoadedLanguageModeling.__new__(LoadedLanguageModeling)  # its loss needs neither corpus nor backbone
SIZES = {"2 x 64": (2, 64, 1024, 4, 32, 4), "4 x 256": (4, 256, 4096, 16, 64, 2)}  # the last: steps of a fit


@pytest.fixture(params=SIZES)
def world(request):
    """An adapted backbone, ten clients' fits and their plan."""
    from transformers import GPT2Config, GPT2LMHeadModel

    keep_freed_memory()
    layers, width, words, batch, tokens, steps = SIZES[request.param]
    rates = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "bos_token_id": 1, "eos_token_id": 1}
    config = GPT2Config(vocab_size=words, n_positions=128, n_embd=width, n_layer=layers, n_head=4, **rates)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = GPT2LMHeadModel(config).eval()
        assert made_lean(model)
        adapted = lora.LoRA(lora.Params(rank=8)).attach(model, SEEDS)
        blocks = torch.randint(0, words, (batch * steps, tokens + 1))
    data, start = Examples({"blocks": blocks}, len(blocks)), dump_tensors(adapted.trainable)
    asked = [Asked(Fit(start), data, FitStreams(SEEDS, 0, client), steps) for client in range(10)]
    return adapted, asked, TrainingPlan(optimizer="adamw", learning_rate=1e-3, batch_size=batch, clip_norm=1.0)


@pytest.mark.parametrize("size", [2, 5, 10])
def test_cohort_against_one_client_after_the_other(against, world, size):
    adapted, asked, plan = world
    some = asked[:size]
    assert agrees(adapted, TASK, TASK, some, plan)
    alone, together = against(
        "one by one",
        lambda: [fit(adapted, TASK, one.data, one.request, plan, one.streams, one.n_steps) for one in some],
        lambda: fit_together(adapted, TASK, some, plan),
        2 if plan.batch_size > 4 else 9,
        size,
        "client",
    )
    losses = [[report.mean_loss for report in reports] for reports in (alone, together)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
