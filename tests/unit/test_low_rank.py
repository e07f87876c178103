"""LoRA factors: ranks below the adapter's, and updates folded into the backbone of a real language model."""

from __future__ import annotations

import pytest
import torch
from fedgen_bench_plugins.adapters.lora import LoRA
from fedgen_bench_plugins.adapters.lora import Params as LoRAParams
from fedgen_bench_plugins.adapters.mixed_lora import MixedLoRA, Params
from fedgen_bench_plugins.backbones import grounds

from fedgen_bench import LowRank, Update, padded, product_norm, stacked, truncated
from fedgen_bench.base.errors import PluginError
from fedgen_bench.contract.adapting import Adapted
from fedgen_bench.contract.messages import Fit, Proximal
from fedgen_bench.federation.batches import FitStreams
from fedgen_bench.federation.parameters import dump_tensors, load_tensors
from fedgen_bench.federation.trainer import TrainingPlan, fit
from fedgen_bench.testing.adapters import SEEDS

GROUND = grounds.LANGUAGE_MODEL
TARGETS = ("c_attn", "c_proj", "lm_head")
PLAN = TrainingPlan(optimizer="adamw", learning_rate=0.01, batch_size=3, local_steps=3)


def trained(adapted, start, **request):
    return fit(adapted, GROUND, GROUND.examples(), Fit(start, **request), PLAN, FitStreams(SEEDS, 0, 0), 3)


def function(adapted, tensors, merges=()):
    adapted.fold(merges)
    load_tensors(adapted.trainable, tensors, adapted.low_rank)
    with torch.inference_mode():
        return GROUND.outputs(adapted.module, GROUND.inputs())


@pytest.fixture(scope="module")
def mixed():
    return MixedLoRA(Params(client_ranks=(4, 2), scale=2.0, targets=TARGETS)).attach(GROUND.backbone(), SEEDS)


def test_lower_rank_trains_as_an_adapter_of_that_rank_does(mixed):
    small = LoRA(LoRAParams(rank=2, alpha=4.0, targets=TARGETS)).attach(GROUND.backbone(), SEEDS)
    start = truncated(dump_tensors(mixed.trainable), mixed.ranks_of(1))
    for penalty in (None, Proximal(0.3)):
        ours, theirs = trained(mixed, start, penalty=penalty), trained(small, start, penalty=penalty)
        assert ours.tensors.keys() == theirs.tensors.keys()
        for name, tensor in theirs.tensors.items():
            assert not torch.equal(tensor, start[name])
            torch.testing.assert_close(ours.tensors[name], tensor, rtol=1e-4, atol=1e-5)


def test_ranks_go_round_the_clients_and_never_exceed_the_modules(mixed):
    assert {pair.rank for pair in mixed.low_rank} == {4}
    assert [mixed.ranks_of(i)[0].rank for i in range(4)] == [4, 2, 4, 2]
    assert {pair.scale for pair in mixed.low_rank} == {2.0}


def test_factors_of_two_ranks_are_refused(mixed):
    start = dump_tensors(mixed.trainable)
    pair = mixed.low_rank[0]
    with pytest.raises(PluginError, match="has shape"):
        load_tensors(mixed.trainable, {**start, pair.a: start[pair.a][:2]}, mixed.low_rank)


@pytest.fixture(scope="module")
def lora():
    return LoRA(LoRAParams(rank=2, alpha=8.0, targets=TARGETS)).attach(GROUND.backbone(), SEEDS)


def test_folded_factors_compute_what_the_adapter_does(lora):
    start = dump_tensors(lora.trainable)
    learned = trained(lora, start).tensors
    merge = stacked([Update(learned, 1)], lora.low_rank)
    plain = function(lora, start)
    ours = function(lora, learned)
    assert not torch.allclose(ours, plain, atol=1e-3)
    torch.testing.assert_close(function(lora, start, (merge,)), ours, rtol=1e-4, atol=1e-4)
    assert torch.equal(function(lora, start), plain)


def test_folding_goes_on_from_what_is_folded_and_back(lora):
    start = dump_tensors(lora.trainable)
    learned = trained(lora, start).tensors
    first = stacked([Update(learned, 1)], lora.low_rank)
    second = {name: 0.5 * tensor for name, tensor in first.items()}
    at_once = function(lora, start, (first, second))
    function(lora, start)
    function(lora, start, (first,))
    copies = tuple({name: tensor.clone() for name, tensor in one.items()} for one in (first, second))
    assert torch.equal(function(lora, start, copies), at_once)
    assert not torch.equal(function(lora, start, (second,)), at_once)


def test_folding_into_a_tied_head_leaves_the_embedding(lora):
    embedding = lora.module.get_input_embeddings().weight
    before = embedding.detach().clone()
    start = dump_tensors(lora.trainable)
    merge = stacked([Update({name: torch.ones_like(one) for name, one in start.items()}, 1)], lora.low_rank)
    function(lora, start, (merge,))
    assert torch.equal(embedding, before)


def test_adapter_without_factors_refuses_merges():
    adapted = Adapted(torch.nn.Linear(2, 2), {})
    adapted.fold(())
    with pytest.raises(PluginError, match="cannot fold"):
        adapted.fold(({},))


def test_padding_keeps_the_product_and_truncation_undoes_it():
    random = torch.Generator().manual_seed(0)
    pair = LowRank("m", "a", "b", 3, 1.0)
    factors = {"a": torch.randn(2, 5, generator=random), "b": torch.randn(4, 2, generator=random)}
    whole = padded(factors, [pair])
    assert (whole["a"].shape, whole["b"].shape) == ((3, 5), (4, 3))
    torch.testing.assert_close(whole["b"] @ whole["a"], factors["b"] @ factors["a"])
    back = truncated(whole, [LowRank("m", "a", "b", 2, 1.0)])
    assert torch.equal(back["a"], factors["a"])
    assert torch.equal(back["b"], factors["b"])


def test_product_norm_is_that_of_the_product():
    random = torch.Generator().manual_seed(1)
    a, b = torch.randn(2, 5, generator=random), torch.randn(4, 2, generator=random)
    assert product_norm(a, b) == pytest.approx(float(torch.linalg.matrix_norm(b @ a)), rel=1e-6)


def test_stack_is_the_weighted_sum_of_products():
    # n = 1 and 3, scale 2: 2 (1/4 * 1 * 4 + 3/4 * 2 * 8) = 2 (1 + 12) = 26.
    pair = LowRank("m", "a", "b", 1, 2.0)
    updates = [
        Update({"a": torch.tensor([[4.0]]), "b": torch.tensor([[1.0]])}, 1),
        Update({"a": torch.tensor([[8.0]]), "b": torch.tensor([[2.0]])}, 3),
    ]
    stack = stacked(updates, [pair])
    assert (stack["b"] @ stack["a"]).item() == pytest.approx(26.0)
    with pytest.raises(ValueError, match="at least one update"):
        stacked([], [pair])
