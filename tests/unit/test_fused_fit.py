# ruff: noqa: ARG005 - requests are made from a client's number and start
from __future__ import annotations

import pytest
import torch
from fedgen_bench_baselines import prompt_tuning
from fedgen_bench_plugins.adapters import bitfit, dora, ia3, last_layer, layernorm, lora, mixed_lora, prefix
from fedgen_bench_plugins.adapters.selection import train_only
from fedgen_bench_plugins.tasks.language_modeling import LoadedLanguageModeling

from fedgen_bench.base.errors import Diverged
from fedgen_bench.contract.data import Examples
from fedgen_bench.contract.messages import Fit, Proximal
from fedgen_bench.contract.seeds import SeedTree
from fedgen_bench.federation.asked import Asked
from fedgen_bench.federation.batches import FitStreams
from fedgen_bench.federation.fused_check import agrees
from fedgen_bench.federation.fused_fit import fit_together
from fedgen_bench.federation.parameters import dump_tensors
from fedgen_bench.federation.trainer import TrainingPlan, fit
from fedgen_bench.suite.schema import Schedule

SEEDS = SeedTree("task", "adapter", "partitioner", "strategy", 1)
ADAPTERS = {
    "lora": lora.LoRA(lora.Params(rank=4, targets=("c_attn", "lm_head"))),
    "mixed_lora": mixed_lora.MixedLoRA(mixed_lora.Params(client_ranks=(1, 2, 4))),
    "ia3": ia3.IA3(ia3.Params()),
    "bitfit": bitfit.BitFit(bitfit.NoParams()),
    "layernorm": layernorm.LayerNormTuning(layernorm.NoParams()),
    "last_layer": last_layer.LastLayer(last_layer.Params()),
    "prompt": prompt_tuning.PromptTuning(prompt_tuning.Params(n_tokens=3)),
    "prefix": prefix.PrefixTuning(prefix.Params(n_tokens=3)),
}
TASK = LoadedLanguageModeling.__new__(LoadedLanguageModeling)  # its loss needs neither corpus nor backbone


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def backbone(dropout=0.0, **changed):
    from transformers import GPT2Config, GPT2LMHeadModel

    with torch.random.fork_rng():
        torch.manual_seed(0)
        rates = {"resid_pdrop": dropout, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
        config = GPT2Config(
            vocab_size=40,
            n_positions=16,
            n_embd=16,
            n_layer=2,
            n_head=2,
            bos_token_id=1,
            eos_token_id=1,
            **rates,
            **changed,
        )
        return GPT2LMHeadModel(config).eval()


def plan(**changed):
    values = {"optimizer": "adamw", "learning_rate": 1e-2, "batch_size": 4, "clip_norm": 0.5} | changed
    return TrainingPlan(**values)


def asked(adapted, sizes=(8, 8, 8), steps=(3, 3, 3), **request):
    """Fits of clients 1, 2, ... from starts of their own."""
    rng = torch.Generator().manual_seed(1)
    start = dump_tensors(adapted.trainable)
    found = []
    for i, (n, n_steps) in enumerate(zip(sizes, steps, strict=True), start=1):
        own = {name: one + 0.02 * torch.randn(one.shape, generator=rng) for name, one in start.items()}
        blocks = torch.randint(0, 40, (n, 9), generator=rng)
        fields = {name: make(i, own) for name, make in request.items()}
        data = Examples({"blocks": blocks}, n)
        found.append(Asked(Fit(own, **fields), data, FitStreams(SEEDS, 0, i), n_steps))
    return found


def alone(adapted, fits, training):
    return [fit(adapted, TASK, one.data, one.request, training, one.streams, one.n_steps) for one in fits]


def assert_equal(ours, theirs, starts, tolerance=1e-3):
    """Equal but for rounding: what a client's tensors moved differs by a thousandth at most."""
    for own, other, one in zip(ours, theirs, starts, strict=True):
        assert (own.n_examples, own.n_steps, own.batch_digest) == (other.n_examples, other.n_steps, other.batch_digest)
        assert own.mean_loss == pytest.approx(other.mean_loss, rel=1e-5)
        assert own.tensors.keys() == other.tensors.keys()
        assert all(own.tensors[name].shape == tensor.shape for name, tensor in other.tensors.items())
        difference, moved = (
            torch.cat([(end.tensors[name] - origin[name]).flatten() for name in other.tensors]).norm()
            for end, origin in ((own, other.tensors), (other, one.request.start))
        )
        assert moved > 0
        assert difference <= tolerance * moved


def compare(adapted, fits, training):
    ours = fit_together(adapted, TASK, fits, training)
    assert_equal(ours, alone(adapted, fits, training), fits)


@pytest.mark.parametrize("name", ADAPTERS)
def test_fused_fits_equal_those_alone(name):
    adapted = ADAPTERS[name].attach(backbone(), SEEDS)
    fits = asked(adapted)
    assert agrees(adapted, TASK, TASK, fits, plan())
    compare(adapted, fits, plan())


REQUESTS = {
    "penalty": {"penalty": lambda i, start: Proximal(0.5 * i)},
    "an anchor for some": {
        "penalty": lambda i, start: None if i == 2 else Proximal(1.0, {name: one + 0.1 for name, one in start.items()})
    },
    "correction": {
        "correction": lambda i, start: {name: torch.full_like(one, 0.01 * i) for name, one in start.items()}
    },
    "correction for one": {
        "correction": lambda i, start: {name: torch.ones_like(one) for name, one in start.items()} if i == 1 else None
    },
    "half of the adapter": {"trainable": lambda i, start: frozenset(name for name in start if "lora_B" in name)},
}
TRAININGS = {
    "decay": {"weight_decay": 0.1},
    "sgd": {"optimizer": "sgd", "learning_rate": 0.5},
    "no clipping": {"clip_norm": None},
    "average": {"ema_decay": 0.9},
    "schedule": {"schedule": Schedule(over_rounds="linear", warmup_rounds=1, within_fit="cosine"), "n_rounds": 3},
}


@pytest.mark.parametrize("what", REQUESTS)
def test_fused_fits_keep_to_each_client_s_request(what):
    adapted = ADAPTERS["lora"].attach(backbone(), SEEDS)
    compare(adapted, asked(adapted, **REQUESTS[what]), plan())


@pytest.mark.parametrize("what", TRAININGS)
def test_fused_fits_train_as_the_suite_says(what):
    adapted = ADAPTERS["lora"].attach(backbone(), SEEDS)
    compare(adapted, asked(adapted), plan(**TRAININGS[what]))


@pytest.mark.parametrize("name", ["lora", "layernorm", "ia3", "prefix"])
def test_fused_fits_of_other_lengths_and_batches(name):
    adapted = ADAPTERS[name].attach(backbone(), SEEDS)
    fits = asked(adapted, sizes=(8, 5, 3), steps=(2, 5, 3))
    compare(adapted, fits, plan(ema_decay=0.9, weight_decay=0.1))


def test_fused_fits_leave_rows_of_tables_alone_that_a_client_never_used():
    adapted = train_only(backbone(tie_word_embeddings=False), {"transformer.wte.weight"}, "embedding")
    fits = asked(adapted, sizes=(1, 1, 1))
    compare(adapted, fits, plan(weight_decay=0.5))


def test_fused_fits_leave_the_module_as_it_was():
    adapted = ADAPTERS["lora"].attach(backbone(), SEEDS)
    fits, training = asked(adapted), plan()
    before = alone(adapted, fits, training)
    fit_together(adapted, TASK, fits, training)
    after = alone(adapted, fits, training)
    assert not adapted.module.training
    for one, other in zip(before, after, strict=True):
        assert all(torch.equal(tensor, other.tensors[name]) for name, tensor in one.tensors.items())


def test_client_whose_loss_is_not_finite_is_told_and_the_others_go_on():
    adapted = ADAPTERS["lora"].attach(backbone(), SEEDS)
    fits = asked(adapted)
    fits[1].request.start["transformer.h.0.attn.c_attn.lora_A.weight"].fill_(float("nan"))
    first, second, third = fit_together(adapted, TASK, fits, plan())
    assert isinstance(second, Diverged)
    assert "Loss of client 2 is nan" in str(second)
    assert_equal([first, third], alone(adapted, [fits[0], fits[2]], plan()), [fits[0], fits[2]])


def test_backbone_with_dropout_is_not_fused():
    adapted = ADAPTERS["lora"].attach(backbone(dropout=0.1), SEEDS)
    assert not agrees(adapted, TASK, TASK, asked(adapted), plan())


class Mixing(torch.nn.Module):
    """A layer that shows every example the mean of all."""

    def forward(self, x):
        return x + x.mean(dim=0, keepdim=True)


def test_backbone_that_mixes_examples_is_not_fused():
    module = backbone()
    module.transformer.drop = Mixing()
    adapted = ADAPTERS["lora"].attach(module, SEEDS)
    assert not agrees(adapted, TASK, TASK, asked(adapted), plan())


def test_adapter_whose_layers_cannot_be_grouped_is_not_fused():
    adapted = dora.DoRA(dora.Params(rank=2)).attach(backbone(), SEEDS)
    assert not agrees(adapted, TASK, TASK, asked(adapted), plan())
