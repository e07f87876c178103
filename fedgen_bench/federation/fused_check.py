"""Whether clients may be trained in one pass: a first step in one pass and one by one must give the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch

from fedgen_bench.contract.seeds import seeded_globals
from fedgen_bench.federation.asked import Asked
from fedgen_bench.federation.batches import batch_order, batches_of
from fedgen_bench.federation.fused_fit import JointPass, joint_pass
from fedgen_bench.federation.parameters import load_tensors
from fedgen_bench.federation.trainer import TrainingPlan, autocast

if TYPE_CHECKING:
    from fedgen_bench.contract.adapting import Adapted
    from fedgen_bench.contract.data import Tensors
    from fedgen_bench.contract.protocols import Fusing, Task

TOLERANCES = {"fp32": 1e-3, "bf16": 1e-1}  # of a client's gradient, beside its norm
_Found = tuple[torch.Tensor, list[torch.Tensor]]


def agrees(adapted: Adapted, task: Task, fusing: Fusing, asked: Sequence[Asked], plan: TrainingPlan) -> bool:
    """Whether losses and gradients of the first step agree, and none draws from the global generator, as dropout does.

    A layer that mixes examples, or a parameter that is used outside of its layer, makes them differ.
    """
    orders = (batch_order(one.data.n, plan.batch_size, 1, one.streams.batch_generator()) for one in asked)
    device = next(iter(adapted.trainable.values())).device
    batches = [next(batches_of(one.data, order, device)) for one, order in zip(asked, orders, strict=True)]
    adapted.module.train()
    try:
        with adapted.untrained.kept(f"{type(task).__name__}.losses"), seeded_globals(asked[0].streams.noise_key):
            before = _generators(device)
            together = _together(joint_pass(adapted, fusing, asked, plan), asked, batches)
            if any(map(_differ, before, _generators(device))):
                return False
            alone = list(_one_by_one(adapted, task, asked, batches, plan))
    except (IndexError, RuntimeError, TypeError, ValueError):  # a layer that cannot be grouped, or a lack of memory
        return False
    finally:
        adapted.module.eval()
    return all(_close(ours, theirs, TOLERANCES[plan.precision]) for ours, theirs in zip(together, alone, strict=True))


def _together(joint: JointPass, asked: Sequence[Asked], batches: Sequence[Tensors]) -> list[_Found]:
    trained = [joint.values[name] for name in joint.trained]
    with joint.grouped.installed():
        losses = joint.losses(batches, [one.streams.noise_generator() for one in asked])
        gradients = torch.autograd.grad(losses.sum(), trained, materialize_grads=True)
    return [(losses[client].detach(), [one[client] for one in gradients]) for client in range(len(asked))]


def _one_by_one(
    adapted: Adapted, task: Task, asked: Sequence[Asked], batches: Sequence[Tensors], plan: TrainingPlan
) -> Iterator[_Found]:
    for one, batch in zip(asked, batches, strict=True):
        load_tensors(adapted.trainable, one.request.start, adapted.low_rank)
        trainable = one.request.trainable
        chosen = [adapted.trainable[name] for name in sorted(adapted.trainable if trainable is None else trainable)]
        for parameter in chosen:
            parameter.requires_grad_()
        with autocast(chosen[0].device, plan.precision):
            loss = task.loss(adapted.module, batch, one.streams.noise_generator())
        yield loss.detach(), list(torch.autograd.grad(loss, chosen, materialize_grads=True))


def _generators(device: torch.device) -> list[torch.Tensor]:
    states = [torch.random.get_rng_state()]
    return states if device.type == "cpu" else [*states, torch.get_device_module(device).get_rng_state(device)]


def _differ(one: torch.Tensor, other: torch.Tensor) -> bool:
    return not torch.equal(one, other)


def _close(ours: _Found, theirs: _Found, tolerance: float) -> bool:
    """Whether two losses and gradients are the same within `tolerance` of the second ones' norms."""
    pairs = [(ours[0][None], theirs[0][None]), (_flat(ours[1]), _flat(theirs[1]))]
    return all(bool((one - other).norm() <= tolerance * other.norm()) for one, other in pairs)


def _flat(gradients: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.cat([one.flatten().float() for one in gradients])
