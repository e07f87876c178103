"""Private copies share memory until somebody writes; what is written to is nobody else's any more."""

from __future__ import annotations

import copy

import torch
from torch import nn

from fedgen_bench import private_copy
from fedgen_bench.contract.copies import lazily_copied
from fedgen_bench.contract.seeds import SeedTree
from fedgen_bench.federation.attaching import attach
from fedgen_bench.registry.datasets import finder
from fedgen_bench.suite.schema import Component

SEEDS = SeedTree("task", "adapter", "partitioner", "strategy", 1)


def is_shared(tensor):
    return torch._C._is_cow_tensor(tensor)


def small():
    module = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 5, bias=False), nn.BatchNorm1d(5))
    module[1].weight = module[0].weight  # tied
    module[2].weight.requires_grad = False
    return module.eval()


def test_private_copy_takes_memory_for_what_is_written_alone():
    module = small()
    made, deep = private_copy(module), copy.deepcopy(module)
    assert all(map(is_shared, made.parameters()))
    with torch.no_grad():
        made[0].weight.add_(1)
    made[2].running_mean.add_(1)
    assert not is_shared(made[0].weight)
    assert is_shared(made[2].weight)
    for now, before in zip(module.state_dict().values(), deep.state_dict().values(), strict=True):
        assert torch.equal(now, before)


def test_writes_to_the_module_do_not_reach_its_copies():
    module = small()
    made, values = private_copy(module), module[1].weight.detach().clone()
    with torch.no_grad():
        module[1].weight.zero_()
    assert torch.equal(made[1].weight, values)


def test_private_copy_keeps_ties_modes_and_what_needs_gradients():
    made = private_copy(small())
    assert made[1].weight is made[0].weight
    assert not made.training
    assert [parameter.requires_grad for parameter in made.parameters()] == [True, False, True]


def test_private_copy_takes_sparse_tensors_along():
    module = small()
    module.register_buffer("edges", torch.eye(3).to_sparse())
    made = private_copy(module)
    assert torch.equal(made.edges.to_dense(), torch.eye(3))
    assert made.edges is not module.edges
    assert is_shared(made[0].weight)


def test_tensors_that_share_memory_already_go_on_sharing_it():
    module = small()
    module.register_buffer("row", module[2].running_var[:2])
    made = private_copy(module)
    made.row.fill_(7)
    assert made[2].running_var[0] == 7
    assert module[2].running_var[0] != 7


def test_writes_past_torch_reach_nobody_else():
    tensor = torch.zeros(3)
    same = lazily_copied(tensor)
    same.numpy()[0] = 1
    assert tensor[0] == 0


def test_memory_of_a_file_is_read_first(tmp_path):
    path = tmp_path / "values"
    path.write_bytes(bytes(16))
    tensor = torch.from_file(str(path), size=4)
    same = lazily_copied(tensor)
    tensor.add_(1)
    assert torch.equal(same, torch.zeros(4))


def test_frozen_tensors_of_an_attached_adapter_stay_the_tasks_while_it_is_trained(registry):
    component = Component(name="language_modeling", params={"dataset": "tiny-wire", "backbone": "tiny-wire-lm"})
    spec = registry.get("task", component.name).spec
    task = spec.build(spec.params(**component.params)).load(finder(registry))
    adapted = attach(registry, Component(name="lora"), task, SEEDS)
    frozen = [one for one in adapted.module.parameters() if not one.requires_grad]
    adapted.module(input_ids=torch.arange(12).view(2, 6)).logits.square().mean().backward()
    with torch.inference_mode():
        adapted.module(input_ids=torch.arange(12).view(2, 6))
    assert frozen
    assert all(map(is_shared, frozen))
