"""FedDPA on a transformer with LoRA: what is trained apart is one model, and clients may be trained in one pass."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fedgen_bench_plugins.adapters.lora import LoRA
from fedgen_bench_plugins.adapters.lora import Params as LoRAParams
from fedgen_bench_plugins.strategies.feddpa import FedDPA, Params, State
from fedgen_bench_plugins.tasks.language_modeling import LoadedLanguageModeling

from fedgen_bench.contract.contexts import ClientContext, ServerContext
from fedgen_bench.contract.data import Examples
from fedgen_bench.contract.seeds import SeedTree
from fedgen_bench.federation.asked import Asked
from fedgen_bench.federation.batches import FitStreams
from fedgen_bench.federation.fused_fit import fit_together
from fedgen_bench.federation.parameters import dump_tensors, load_tensors
from fedgen_bench.federation.trainer import TrainingPlan, fit

SEEDS = SeedTree("task", "adapter", "partitioner", "strategy", 1)
TASK = LoadedLanguageModeling.__new__(LoadedLanguageModeling)  # its loss needs neither corpus nor backbone
PLAN = TrainingPlan(optimizer="adamw", learning_rate=1e-2, batch_size=4, clip_norm=0.5)
FEDDPA = FedDPA(Params(local_rank=2))


@pytest.fixture
def adapted():
    from transformers import GPT2Config, GPT2LMHeadModel

    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {"vocab_size": 40, "n_positions": 16, "n_embd": 16, "n_layer": 2, "n_head": 2}
        no_dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
        backbone = GPT2LMHeadModel(GPT2Config(**sizes, **no_dropout, bos_token_id=1, eos_token_id=1)).eval()
    return LoRA(LoRAParams(rank=3, alpha=6.0, targets=("c_attn", "lm_head"))).attach(backbone, SEEDS)


@pytest.fixture
def state(adapted):
    """Federated factors of rank 1, away from the start."""
    start = dump_tensors(adapted.trainable)
    rng = torch.Generator().manual_seed(1)
    first = FEDDPA.init(start, ServerContext(3, 3, SEEDS, adapted.low_rank))
    moved = {name: one + 0.3 * torch.randn(one.shape, generator=rng) for name, one in first.tensors.items()}
    return State(moved)


def context(adapted, start, keep, client_id=0):
    return ClientContext(1, client_id, 3, 8, start, keep, 3, 1e-2, SEEDS, low_rank=adapted.low_rank)


def blocks(client_id):
    return torch.randint(0, 40, (8, 9), generator=torch.Generator().manual_seed(10 + client_id))


@torch.no_grad()
def logits(adapted, tensors, merges=()):
    adapted.fold(merges)
    load_tensors(adapted.trainable, tensors, adapted.low_rank)
    return adapted.module(input_ids=blocks(0)).logits.clone()


def test_own_part_over_the_folded_one_is_the_exported_model(adapted, state):
    start = dump_tensors(adapted.trainable)
    plain = logits(adapted, start)
    stranger = context(adapted, start, {})
    request = FEDDPA.personalize(state, stranger)
    everybodys = logits(adapted, FEDDPA.export(state, None))
    torch.testing.assert_close(logits(adapted, request.start, request.merges), everybodys)
    trained = fit(adapted, TASK, Examples({"blocks": blocks(0)}, 8), request, PLAN, FitStreams(SEEDS, 1, 0), 3).tensors
    whole = FEDDPA.export(state, replace(stranger, keep=trained))
    own = logits(adapted, whole)
    torch.testing.assert_close(own, logits(adapted, trained, request.merges), rtol=1e-4, atol=1e-5)
    assert (own - everybodys).abs().max() > 1e-3
    torch.testing.assert_close(logits(adapted, start), plain, rtol=0, atol=0)


def test_own_parts_of_several_clients_are_trained_in_one_pass(adapted, state):
    start = dump_tensors(adapted.trainable)
    fits = [
        Asked(
            FEDDPA.personalize(state, context(adapted, start, {}, i)),
            Examples({"blocks": blocks(i)}, 8),
            FitStreams(SEEDS, 1, i),
            3,
        )
        for i in range(3)
    ]
    alone = [fit(adapted, TASK, one.data, one.request, PLAN, one.streams, one.n_steps) for one in fits]
    for ours, theirs in zip(fit_together(adapted, TASK, fits, PLAN), alone, strict=True):
        assert {len(ours.tensors[pair.a]) for pair in adapted.low_rank} == {2}
        for name, tensor in theirs.tensors.items():
            torch.testing.assert_close(ours.tensors[name], tensor, rtol=1e-3, atol=1e-5)
