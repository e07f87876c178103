"""What training takes is counted from the tensors themselves."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fedgen_bench.contract.adapting import Adapted
from fedgen_bench.federation.footprint import Footprint, footprint, memory_bytes
from fedgen_bench.federation.trainer import TrainingPlan

GIVEN = Footprint(module_bytes=1000, trained_bytes=100, n_moments=2, fixed_bytes=5, example_bytes=7, batch_size=4)


class Squares:
    """A task whose loss keeps its 30 outputs of 4 bytes; the example itself is kept for a gradient of the weight."""

    def loss(self, module, batch, generator):  # noqa: ARG002 - the protocol's signature
        return module(batch["x"]).square().mean()


def plan(**values):
    return TrainingPlan(learning_rate=0.1, batch_size=8, **({"optimizer": "adamw"} | values))


@pytest.mark.parametrize(("device", "expected"), [("cpu", 1000 + 6 * 100 + 33), ("cuda:1", 1000 + 3 * 100 + 33)])
def test_copies_of_the_adapter_are_counted_where_they_are(device, expected):
    assert GIVEN.on(device) == expected


def test_footprint_counts_what_a_loss_keeps_besides_the_modules_own_tensors():
    module = nn.Linear(20, 30, bias=False)
    found = footprint(Adapted(module, {"w": module.weight}), Squares(), {"x": torch.ones(1, 20)}, plan(), 99)
    assert found == Footprint(2400, 2400, n_moments=2, fixed_bytes=0, example_bytes=4 * (20 + 30), batch_size=8)


def test_weights_in_bf16_are_kept_once_a_batch_and_not_for_every_example():
    module = nn.Sequential(nn.Linear(20, 30, bias=False), nn.Linear(30, 5, bias=False))
    adapted, given = Adapted(module, {"w": module[0].weight}), {"x": torch.ones(1, 20)}
    found = footprint(adapted, Squares(), given, plan(precision="bf16"), 99)
    assert found.fixed_bytes == 2 * 30 * 5
    assert found.example_bytes < found.fixed_bytes


def test_frozen_weights_keep_no_inputs_for_their_gradient():
    module = nn.Sequential(nn.Linear(20, 30, bias=False), nn.Linear(30, 5, bias=False))
    module[0].weight.requires_grad_(requires_grad=False)
    found = footprint(Adapted(module, {"w": module[1].weight}), Squares(), {"x": torch.ones(1, 20)}, plan(), 99)
    assert (found.module_bytes, found.trained_bytes, found.example_bytes) == (3000, 600, 4 * (30 + 5))


@pytest.mark.parametrize(
    ("values", "n_moments"), [({}, 2), ({"optimizer": "sgd"}, 0), ({"ema_decay": 0.9}, 3)], ids=str
)
def test_moments_are_the_optimizers_and_the_averages(values, n_moments):
    module = nn.Linear(2, 2)
    given = footprint(Adapted(module, {"w": module.weight}), Squares(), {"x": torch.ones(1, 2)}, plan(**values), 99)
    assert given.n_moments == n_moments


def test_a_batch_has_no_more_than_somebody_holds():
    module = nn.Linear(2, 2)
    given = footprint(Adapted(module, {"w": module.weight}), Squares(), {"x": torch.ones(1, 2)}, plan(), 3)
    assert given.batch_size == 3


def test_memory_of_this_machine_is_known():
    assert memory_bytes("cpu") > 1 << 28
