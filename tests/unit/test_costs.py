"""FLOPs of a training step are those of a hand count, whatever kernels a processor would use."""

from __future__ import annotations

import pytest
import torch
from fedgen_bench_plugins.backbones.gpt2 import made_lean
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint
from transformers import GPT2Config, GPT2LMHeadModel

from fedgen_bench.contract.adapting import Adapted
from fedgen_bench.federation.costs import step_flops
from fedgen_bench.federation.trainer import TrainingPlan

BATCH = 8


def plan(**values):
    return TrainingPlan(optimizer="sgd", learning_rate=0.1, **({"batch_size": BATCH} | values))


class Squares:
    def loss(self, module, batch, generator):  # noqa: ARG002 - the protocol's signature
        outputs = module(batch["x"])
        return (outputs[0] if isinstance(outputs, tuple) else outputs).square().mean()


class NextTokens:
    def loss(self, module, batch, generator):  # noqa: ARG002 - the protocol's signature
        tokens = batch["tokens"]
        return cross_entropy(module(input_ids=tokens).logits.flatten(0, 1), tokens.flatten())


def of(module, trained, shape=(1, 20), **values):
    names = dict(module.named_parameters())
    adapted = Adapted(module, {name: names[name] for name in trained})
    for name, parameter in names.items():
        parameter.requires_grad_(name in trained)
    return step_flops(adapted, Squares(), {"x": torch.ones(shape)}, plan(**values))


def two_layers():
    return nn.Sequential(nn.Linear(20, 30), nn.Tanh(), nn.Linear(30, 5))


FIRST, SECOND = 2 * 20 * 30, 2 * 30 * 5


@pytest.mark.parametrize(
    ("trained", "expected"),
    [
        (["0.weight"], FIRST + SECOND + SECOND + FIRST),  # back through the second, the first's weight
        (["2.weight"], FIRST + SECOND + SECOND),  # nothing goes on to the frozen first
        (["2.bias"], FIRST + SECOND),  # a sum, which is not counted
        (["0.weight", "2.weight"], FIRST + SECOND + 2 * SECOND + FIRST),
    ],
    ids=str,
)
def test_a_step_is_the_loss_and_the_gradients_of_what_is_trained(trained, expected):
    assert of(two_layers(), trained) == BATCH * expected


def test_a_fit_may_train_a_part_of_the_adapter_and_leaves_no_gradient():
    module = two_layers()
    adapted, given = Adapted(module, dict(module.named_parameters())), {"x": torch.ones(1, 20)}
    assert step_flops(adapted, Squares(), given, plan(), ["2.weight"]) == BATCH * (FIRST + 2 * SECOND)
    assert all(one.requires_grad and one.grad is None for one in module.parameters())
    assert not module.training


def test_what_does_not_grow_with_the_batch_counts_once_a_pass():
    class Product(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Parameter(torch.ones(20, 3)), nn.Parameter(torch.ones(3, 30))

        def forward(self, x):
            return x @ (self.a @ self.b)

    weight = 3 * 2 * 20 * 3 * 30  # the product, and the gradient of either factor
    example = 2 * 2 * 20 * 30  # forward, and the gradient of the product
    assert of(Product(), ["a", "b"]) == weight + BATCH * example
    assert of(Product(), ["a", "b"], micro_batch_size=3) == 3 * weight + BATCH * example


def test_convolutions_and_batch_norm_are_taken_as_they_are():
    module = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4))
    before = {name: one.clone() for name, one in module.named_buffers()}
    assert of(module, ["0.weight"], (1, 3, 5, 5)) == BATCH * 2 * (2 * 25 * 4 * 3 * 9)
    assert all(torch.equal(one, before[name]) for name, one in module.named_buffers())


def test_recurrent_layers_are_the_products_that_they_are():
    steps = 7
    gates = 2 * 4 * 6 * (20 + 6)
    gradients = gates + 2 * 4 * 6 * 6  # of the weights; of states but not of the input
    counted = of(nn.LSTM(20, 6), ["weight_ih_l0", "weight_hh_l0"], (1, steps, 20))
    assert counted == pytest.approx(BATCH * steps * (gates + gradients), rel=0.1)


def test_computed_again_for_the_gradient_counts_again():
    class Again(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = two_layers()

        def forward(self, x):
            return checkpoint(self.inner, x, use_reentrant=False)

    plain = of(two_layers(), ["0.weight"])
    assert of(Again(), ["inner.0.weight"]) == plain + BATCH * FIRST  # the last product is not needed again


WIDTH, LENGTH, VOCABULARY = 16, 6, 50
LAYER = 2 * LENGTH * WIDTH * WIDTH * (3 + 1 + 4 + 4)  # attention's four, and the two of the MLP, four times as wide
ATTENTION = 2 * 2 * LENGTH * LENGTH * WIDTH  # queries by keys, and what they weigh
HEAD = 2 * LENGTH * WIDTH * VOCABULARY


def language_model(dropout=0.0):
    config = GPT2Config(
        vocab_size=VOCABULARY, n_positions=8, n_embd=WIDTH, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0,
        attn_pdrop=dropout,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return GPT2LMHeadModel(config).eval()


def of_text(adapted, **values):
    return step_flops(adapted, NextTokens(), {"tokens": torch.ones(1, LENGTH, dtype=torch.long)}, plan(**values))


def full(module):
    return Adapted(module, dict(module.named_parameters()))


@pytest.mark.parametrize("dropout", [0.0, 0.1])  # with it, attention has no fused kernel on a CPU
@pytest.mark.parametrize("values", [{}, {"precision": "bf16"}], ids=str)
def test_the_full_model_takes_three_times_its_forward_pass(values, dropout):
    lean = language_model(dropout)
    made_lean(lean)
    expected = 3 * BATCH * (LAYER + ATTENTION + HEAD)
    assert [of_text(full(module), **values) for module in (language_model(dropout), lean)] == [expected] * 2


def test_low_rank_takes_two_forward_passes_and_its_own_products(attach):
    rank = 2
    adapted = attach("lora", language_model(), rank=rank, targets=("c_attn",))
    own = 2 * LENGTH * rank * (WIDTH + 3 * WIDTH)  # A x and B A x
    ahead = LAYER + ATTENTION + HEAD + own
    back = HEAD + (LAYER - 2 * LENGTH * WIDTH * 3 * WIDTH) + 2 * ATTENTION  # not through `c_attn` to the embeddings
    gradients = own + 2 * LENGTH * rank * 3 * WIDTH  # of A and B, and through B
    assert of_text(adapted) == BATCH * (ahead + back + gradients)
