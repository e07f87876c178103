"""Weight decay and rows of tables that no batch of a fit has used."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from fedgen_bench_baselines.textual_inversion import TextualInversion
from fedgen_bench_plugins.backbones import grounds
from torch import nn

from fedgen_bench import NoParams
from fedgen_bench.contract.adapting import Adapted
from fedgen_bench.contract.data import Examples
from fedgen_bench.contract.messages import Fit
from fedgen_bench.federation.batches import FitStreams
from fedgen_bench.federation.parameters import dump_tensors
from fedgen_bench.federation.trainer import TrainingPlan, fit
from fedgen_bench.testing.adapters import SEEDS

GROUND = grounds.UNET


def fitted(adapted, loss, examples, optimizer, **changed):
    plan = {"learning_rate": 0.1, "weight_decay": 0.5, "batch_size": 1, "local_steps": 20, "local_epochs": None}
    plan |= {"clip_norm": None, "precision": "fp32", **changed}
    start = dump_tensors(adapted.trainable)
    task = SimpleNamespace(loss=loss)
    steps = plan["local_steps"]
    report = fit(
        adapted, task, examples, Fit(start), TrainingPlan(optimizer=optimizer, **plan), FitStreams(SEEDS, 0, 0), steps
    )
    return start, report.tensors


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding.from_pretrained(torch.arange(8.0).reshape(4, 2) + 1, freeze=False)
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, words):
        return self.embed(words).sum() * self.scale[0]


def whole(module):
    return Adapted(module, dict(module.named_parameters()))


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_labels_that_a_client_does_not_hold_do_not_move(optimizer):
    adapted = TextualInversion(NoParams()).attach(GROUND.backbone(), SEEDS)
    batch = {**GROUND.inputs(), "labels": torch.tensor([0, 2, 0, 2, 0, 2])}
    start, trained = fitted(adapted, GROUND.loss, Examples(batch, 6), optimizer)
    moved = (trained["context"] != start["context"]).flatten(1).any(dim=1)
    assert moved.tolist() == [True, False, True, False, False]


def test_words_that_a_client_does_not_hold_do_not_move_and_all_else_decays():
    words = Examples({"words": torch.tensor([1, 3])}, 2)
    start, trained = fitted(whole(Words()), lambda m, batch, _: m(batch["words"]), words, "adamw", ema_decay=0.9)
    moved = (trained["embed.weight"] != start["embed.weight"]).any(dim=1)
    assert moved.tolist() == [False, True, False, True]
    assert bool((trained["scale"] != start["scale"]).all())  # dense: decay as ever, gradient or none


def test_used_rows_train_as_the_optimizer_does():
    words = Examples({"words": torch.tensor([1])}, 1)
    _, trained = fitted(whole(Words()), lambda m, batch, _: m(batch["words"]), words, "adamw", local_steps=3)
    by_hand = Words()
    optimizer = torch.optim.AdamW(by_hand.parameters(), lr=0.1, weight_decay=0.5, fused=True)
    for _ in range(3):
        optimizer.zero_grad()
        by_hand(torch.tensor([1])).backward()
        optimizer.step()
    assert torch.equal(trained["embed.weight"][1], by_hand.embed.weight.detach()[1])
    assert torch.equal(trained["scale"], by_hand.scale.detach())


def test_a_row_decays_from_the_step_on_that_uses_it():
    calls = []

    def loss(module, batch, _):
        calls.append(None)
        return module(batch["words"][:, 0] if len(calls) == 1 else batch["words"][:, 1])

    _, trained = fitted(whole(Words()), loss, Examples({"words": torch.tensor([[0, 1]])}, 1), "sgd", local_steps=2)
    # Row 1 = (3, 4): left alone at first; then y - 0.1 (gradient + y / 2). The scale was 1 and lost 0.1 (1 + 2 + 0.5).
    wanted = torch.tensor([3.0, 4.0]) * 0.95 - 0.1 * (1 - 0.1 * 3.5)
    torch.testing.assert_close(trained["embed.weight"][1], wanted)
