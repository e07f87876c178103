"""`training.micro_batch_size`: a batch trained a few examples at a time is the whole batch within rounding."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from fedgen_bench_plugins.backbones import grounds
from fedgen_bench_plugins.backbones.unet import UNetBackbone
from fedgen_bench_plugins.tasks.image_generation import LoadedImageGeneration
from fedgen_bench_plugins.tasks.image_params import Params
from fedgen_bench_plugins.tasks.language_modeling import LoadedLanguageModeling

from fedgen_bench.base.errors import NotReadyError, SuiteError
from fedgen_bench.contract.adapting import Adapted
from fedgen_bench.contract.data import Examples
from fedgen_bench.contract.messages import Fit, Proximal
from fedgen_bench.contract.protocols import MicroBatching
from fedgen_bench.federation.asked import Asked
from fedgen_bench.federation.batches import FitStreams
from fedgen_bench.federation.cohort import Answers
from fedgen_bench.federation.loader import Loader
from fedgen_bench.federation.parameters import dump_tensors
from fedgen_bench.federation.preflight import preflight
from fedgen_bench.federation.trainer import TrainingPlan, fit
from fedgen_bench.registry.datasets import finder
from fedgen_bench.suite.cells import expand
from fedgen_bench.testing import tasks, toy
from fedgen_bench.testing.toy_federation import SEEDS

RAGGED = ((8, 8, 8, 3, 8), (1, 8, 8, 8, 2))  # real tokens of blocks of 8
TRAININGS = {
    "as it is": {},
    "clipped": {"clip_norm": 0.05},
    "average": {"ema_decay": 0.9},
    "decay": {"weight_decay": 0.1},
    "sgd": {"optimizer": "sgd", "learning_rate": 0.1},
}
REQUESTS = {
    "penalty": {"penalty": Proximal(0.5)},
    "correction": {"correction": {"weight": torch.full((3,), 0.1, dtype=torch.float64)}},
}


def plan(size, **changed):
    values = {"optimizer": "adamw", "learning_rate": 1e-2, "batch_size": 5} | changed
    return TrainingPlan(micro_batch_size=size, **values)


def language_model():
    from transformers import GPT2Config, GPT2LMHeadModel

    rates = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = GPT2Config(vocab_size=40, n_positions=16, n_embd=16, n_layer=1, n_head=2, **rates)
        config.bos_token_id = config.eos_token_id = 1
        module = GPT2LMHeadModel(config).double().eval()
    return LoadedLanguageModeling.__new__(LoadedLanguageModeling), Adapted(module, dict(module.named_parameters()))


def ragged_blocks():
    generator = torch.Generator().manual_seed(1)
    blocks = torch.randint(0, 40, (10, 9), generator=generator)
    for i, n_real in enumerate(n for batch in RAGGED for n in batch):
        blocks[i, n_real + 1 :] = -100
    return Examples({"blocks": blocks}, len(blocks))


def unet():
    from diffusers import DDPMScheduler

    task = LoadedImageGeneration.__new__(LoadedImageGeneration)
    task.params = Params(label_dropout=0.5)
    task.backbone = UNetBackbone("", grounds.UNET.backbone(), DDPMScheduler(num_train_timesteps=100), "")
    module = grounds.UNET.backbone()
    chosen = {name: one for name, one in module.named_parameters() if "attn" in name}
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (10, 3, 8, 8), dtype=torch.uint8, generator=generator)
    return task, Adapted(module, chosen), Examples({"pixels": pixels, "labels": torch.arange(10) % 4}, 10)


def points():
    task = toy.LoadedToy(toy.Params())
    module = task.new_module().double()
    data = Examples({"x": task.points[:10].double()}, 10)
    return task, Adapted(module, {"weight": module.weight}), data


def fitted(task, adapted, data, training, n_steps=4, **request):
    start = {name: torch.zeros_like(one) if one.ndim == 1 and len(adapted.trainable) == 1 else one.detach().clone()
             for name, one in adapted.trainable.items()}  # fmt: skip
    report = fit(adapted, task, data, Fit(start, **request), training, FitStreams(SEEDS, 0, 0), n_steps)
    with torch.no_grad():
        for name, one in adapted.trainable.items():
            one.copy_(start[name])
    return start, report


def assert_same(whole, parts, tolerance):
    (start, theirs), (_, ours) = whole, parts
    assert ours.batch_digest == theirs.batch_digest
    assert ours.mean_loss == pytest.approx(theirs.mean_loss, rel=tolerance)
    moved, apart = (
        torch.cat([(end[name] - origin[name]).flatten() for name in start]).norm()
        for end, origin in ((theirs.tensors, start), (ours.tensors, theirs.tensors))
    )
    assert moved > 0
    assert apart <= tolerance * moved


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("given", [*TRAININGS, *REQUESTS])
def test_points_in_parts_train_as_the_whole_batch_does(given, size):
    training, request = TRAININGS.get(given, {}), REQUESTS.get(given, {})
    whole, parts = (fitted(*points(), plan(each, **training), **request) for each in (None, size))
    assert_same(whole, parts, 1e-12)


@pytest.mark.parametrize("given", TRAININGS)
def test_texts_of_unequal_lengths_in_parts_train_as_the_whole_batch_does(given):
    task, adapted = language_model()
    whole, parts = (fitted(task, adapted, ragged_blocks(), plan(size, **TRAININGS[given])) for size in (None, 2))
    assert_same(whole, parts, 1e-5)  # the loss itself is taken in fp32


def test_weights_by_example_would_train_texts_of_unequal_lengths_otherwise():
    task, adapted = language_model()
    batch = {"blocks": ragged_blocks().tensors["blocks"][:5]}
    whole = float(task.loss(adapted.module, batch, torch.Generator()).detach())
    parts = task.micro_batches(batch, 2, torch.Generator())
    losses = [float(task.loss(adapted.module, one.tensors, torch.Generator()).detach()) for one in parts]
    assert sum(float(one.share) * loss for one, loss in zip(parts, losses, strict=True)) == pytest.approx(whole, 1e-6)
    by_example = sum(loss * n / 5 for loss, n in zip(losses, (2, 2, 1), strict=True))
    assert by_example != pytest.approx(whole, rel=1e-4)


def test_images_in_parts_have_the_noise_of_the_whole_batch():
    task, adapted, data = unet()
    training = {"optimizer": "sgd", "learning_rate": 0.5}
    whole, parts = (fitted(task, adapted, data, plan(size, **training), n_steps=2) for size in (None, 2))
    assert_same(whole, parts, 1e-4)


def test_rows_that_no_part_has_used_stay():
    task, adapted = language_model()
    data = ragged_blocks()
    data.tensors["blocks"].clamp_(max=30)
    start, report = fitted(
        task, adapted, data, plan(2, weight_decay=0.5), trainable=frozenset({"transformer.wpe.weight"})
    )
    table, before = report.tensors["transformer.wpe.weight"], start["transformer.wpe.weight"]
    assert torch.equal(table[8:], before[8:])
    assert not torch.equal(table[:8], before[:8])


def test_autocast_covers_every_part():
    seen = []

    class Watched(toy.LoadedToy):
        def loss(self, module, batch, generator):
            seen.append((len(batch["x"]), torch.is_autocast_enabled("cpu")))
            return super().loss(module, batch, generator)

    _, adapted, data = points()
    fitted(Watched(toy.Params()), adapted, data, plan(2, precision="bf16"), n_steps=1)
    assert seen == [(2, True), (2, True), (1, True)]
    assert not torch.is_autocast_enabled("cpu")


def test_a_step_keeps_the_activations_of_one_part():
    task, adapted = language_model()

    def most_kept(size):
        kept, most = 0, 0

        def keep(tensor):
            nonlocal kept, most
            kept += tensor.nbytes
            most = max(most, kept)
            return tensor

        def use(tensor):
            nonlocal kept
            kept -= tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, use):
            fitted(task, adapted, ragged_blocks(), plan(size), n_steps=1)
        return most

    assert most_kept(1) < 0.5 * most_kept(None)


def test_a_cohort_takes_turns():
    task, adapted, data = points()
    start = dump_tensors(adapted.trainable)
    asked = [Asked(Fit(start), data, FitStreams(SEEDS, 0, client), 1) for client in range(3)]
    alone = []
    answers = Answers(adapted, task, plan(2), lambda one: alone.append(one.streams.client_id))
    answers(asked)
    assert alone == [0, 1, 2]
    assert not answers.go_together(asked)


def test_suite_gives_the_size_to_the_trainer(toy_experiment):
    assert toy_experiment("fedavg").plan.examples_at_once == 4
    assert toy_experiment("fedavg", "training.micro_batch_size=2").plan.examples_at_once == 2


def test_absent_it_stands_in_no_configuration(toy_experiment):
    assert "micro_batch_size" not in toy_experiment("fedavg").config.to_json()["training"]
    given = toy_experiment("fedavg", "training.micro_batch_size=2").config.to_json()["training"]
    assert given["micro_batch_size"] == 2


def test_size_above_the_batch_is_refused_with_both(toy_suite):
    with pytest.raises(SuiteError, match=r"micro_batch_size \(5\) exceeds batch_size \(4\)"):
        toy_suite("training.micro_batch_size=5")


def test_task_that_does_not_say_how_is_refused_before_training(registry, toy_suite, monkeypatch):
    loaded = registry.get("task", "toy").spec.build.load.__globals__["LoadedToy"]
    monkeypatch.delattr(loaded, "micro_batches")
    specs = expand(toy_suite("training.micro_batch_size=2"), registry, contenders=["fedavg"])
    with pytest.raises(NotReadyError) as caught:
        preflight(specs, Loader(registry, finder(registry, fetch=False)))
    (problem,) = caught.value.problems
    assert problem.startswith("task `toy` does not say how a batch is trained in parts (`micro_batches`). Leave out")


class Undrawn(toy.LoadedToy):
    """Its noise is drawn part by part."""

    def loss(self, module, batch, generator):
        return super().loss(module, {"x": batch["x"] + torch.randn(3, generator=generator)}, generator)


class Unweighted(toy.LoadedToy):
    def micro_batches(self, batch, size, generator):
        return [
            SimpleNamespace(tensors=one.tensors, share=1.0) for one in super().micro_batches(batch, size, generator)
        ]


class Partial(toy.LoadedToy):
    def micro_batches(self, batch, size, generator):
        return super().micro_batches(batch, size, generator)[:1]


@pytest.mark.parametrize(
    ("task", "message"),
    [(Undrawn, "draws from the generator"), (Unweighted, "shares do not add up"), (Partial, "1 parts of one example")],
)
def test_contract_catches(task, message):
    with pytest.raises(AssertionError, match=message):
        tasks.check_micro_batches(task(toy.Params()))


def test_contract_lets_honest_tasks_through():
    assert isinstance(toy.LoadedToy(toy.Params()), MicroBatching)
    tasks.check_micro_batches(toy.LoadedToy(toy.Params()))
