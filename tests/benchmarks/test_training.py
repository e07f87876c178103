"""The harness's training loop, and whole rounds, against bare PyTorch loops that do the same work."""

from __future__ import annotations

import math

import numpy as np
import torch

from fedgen_bench.contract.adapting import Adapted
from fedgen_bench.contract.data import Examples
from fedgen_bench.contract.messages import Fit
from fedgen_bench.contract.seeds import SeedTree
from fedgen_bench.federation.batches import FitStreams, batch_order
from fedgen_bench.federation.components import build
from fedgen_bench.federation.parameters import dump_tensors
from fedgen_bench.federation.trainer import TrainingPlan, fit
from fedgen_bench.registry.datasets import Places, finder
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.results.store import Store
from fedgen_bench.run.executor import Job
from fedgen_bench.run.runner import run_cells
from fedgen_bench.suite.cells import expand
from fedgen_bench.suite.load import load_suite
from fedgen_bench.testing import toy

SEEDS = SeedTree("task", "adapter", "partitioner", "strategy", 1)
STREAMS = FitStreams(SEEDS, 0, 0)


class PlainLanguageModel:
    """A task whose loss is the one of the bare loop."""

    def loss(self, module, batch, generator):  # noqa: ARG002 - the protocol's signature
        return loss_of(module, batch["blocks"])


def loss_of(model, blocks):
    """The loss that anybody would write."""
    logits = model(input_ids=blocks[:, :-1].clamp(min=0)).logits
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), blocks[:, 1:].flatten())


def bare_loop(model, start, blocks, plan, n_steps):
    """What `fit` does, written by hand: load, AdamW, clip, mean loss, dump."""
    rng = SEEDS.numpy("batches", round_index=0, client_id=0, purpose=STREAMS.purpose)
    parameters = list(model.parameters())
    with torch.no_grad():
        for parameter, value in zip(parameters, start, strict=True):
            parameter.copy_(value)
    model.train()
    optimizer = torch.optim.AdamW(parameters, lr=plan.learning_rate, weight_decay=plan.weight_decay, fused=True)
    total = 0.0
    for batch in batch_order(len(blocks), plan.batch_size, n_steps, rng):
        loss = loss_of(model, blocks[torch.from_numpy(batch)])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, plan.clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        total += loss.item()
    model.eval()
    return total / n_steps, [parameter.detach().clone() for parameter in parameters]


def compare(against, adapted, task, blocks, *, n_steps, rounds):
    """Fit and bare loop from one start over the same batches; without dropout both end at the same loss."""
    plan = TrainingPlan(
        optimizer="adamw", learning_rate=1e-4, weight_decay=0.01, batch_size=8, local_steps=n_steps, clip_norm=1.0
    )
    start = dump_tensors(adapted.trainable)
    values = [parameter.detach().clone() for parameter in adapted.module.parameters()]
    data = Examples({"blocks": blocks}, len(blocks))
    (bare_loss, _), report = against(
        "bare PyTorch loop",
        lambda: bare_loop(adapted.module, values, blocks, plan, n_steps),
        lambda: fit(adapted, task, data, Fit(start), plan, STREAMS, n_steps),
        rounds,
        n_steps,
        "step",
    )
    assert math.isclose(report.mean_loss, bare_loss, rel_tol=1e-5)


def test_fit_on_the_tiny_backbone_against_a_bare_loop(against):
    """One client of `quick`'s fedavg_full, with the task's own loss."""
    registry = load_registry()
    suite = load_suite(registry.get("suite", "quick").spec, registry)
    (spec,) = expand(suite, registry, contenders=["fedavg_full"], seeds=[1])
    task = build(registry, "task", spec.config.task).load(finder(registry))
    adapted = build(registry, "adapter", spec.config.contender.adapter).attach(task.new_module(), SEEDS)
    blocks = task.client_data(np.arange(60)).train.tensors["blocks"]
    compare(against, adapted, task, blocks, n_steps=6, rounds=40)


def test_fit_on_gpt2_of_four_layers_against_a_bare_loop(against):
    from transformers import GPT2Config, GPT2LMHeadModel

    rates = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = GPT2LMHeadModel(GPT2Config(vocab_size=4096, n_positions=128, n_embd=256, n_layer=4, n_head=4, **rates))
        blocks = torch.randint(0, 4096, (64, 65))
    compare(against, Adapted(model, dict(model.named_parameters())), PlainLanguageModel(), blocks, n_steps=4, rounds=12)


def test_client_round_in_the_toy_world_against_its_training_alone(against, tmp_path):
    """A cell of 400 client-rounds, four to a committed round, whose training is next to nothing."""
    registry = load_registry([toy.__file__])
    overrides = ["federation.rounds=100", "federation.clients_per_round=4", "evaluation.every=100"]
    suite = load_suite(registry.get("suite", "toy").spec, registry, overrides)
    (spec,) = expand(suite, registry, contenders=["fedavg"], seeds=[1])
    module = torch.nn.Module()
    module.register_parameter("weight", torch.nn.Parameter(torch.zeros(3)))
    points = toy.LoadedToy(toy.Params()).points
    numbers = iter(range(1000))

    def alone():
        rng = np.random.default_rng(1)
        for _ in range(400):
            optimizer = torch.optim.SGD(module.parameters(), lr=0.2)
            for batch in batch_order(10, 4, 2, rng):
                (0.5 * (module.weight - points[torch.from_numpy(batch)]).square().sum(dim=1).mean()).backward()
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)

    def ours():
        root = tmp_path / str(next(numbers))
        with Store(root) as store:
            return run_cells(
                [spec], registry, Job(root, Places(), "cpu", ()), store, workers=1, on_event=lambda _: None
            )

    _, (ended,) = against("training alone", alone, ours, 4, 400, "client_round")
    assert ended.status == "done"
