"""What a training step costs: floating-point operations, counted from shapes, the same figure on every machine."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from fedgen_bench.contract.seeds import seeded_globals
from fedgen_bench.federation.footprint import trying, twice
from fedgen_bench.federation.trainer import autocast

if TYPE_CHECKING:
    from fedgen_bench.contract.adapting import Adapted
    from fedgen_bench.contract.protocols import Task
    from fedgen_bench.federation.trainer import TrainingPlan


def step_flops(
    adapted: Adapted,
    task: Task,
    example: Mapping[str, torch.Tensor],
    plan: TrainingPlan,
    trained: Collection[str] | None = None,
) -> int:
    """FLOPs of one local step on a whole batch of `plan`: its loss, and the gradient of what is trained.

    Matrix products, convolutions and attention count, a multiplication and an addition as two; everything else
    (embeddings, norms, activations, the optimizer) counts as nothing. A frozen weight has no gradient and none is
    counted; what is computed again for the gradient counts again.

    A batch of one and one of two tell what a step takes besides and what every example adds.

    Args:
        adapted: on the device that it computes on, which changes no figure.
        task: whose loss is trained.
        example: a batch of one, on that device.
        plan: how many examples a batch has, and how many are computed at once.
        trained: names of the adapter that a fit trains (`Fit.trainable`); all of them when None.

    Raises whatever the task's loss raises.
    """
    names = adapted.trainable.keys() if trained is None else trained
    with trying(adapted.module), _trained(adapted, names):
        alone, both = (_flops(adapted, task, batch, plan) for batch in (example, twice(example)))
    n_passes = -(-plan.batch_size // plan.examples_at_once)
    return n_passes * (2 * alone - both) + plan.batch_size * (both - alone)


def _flops(adapted: Adapted, task: Task, batch: Mapping[str, torch.Tensor], plan: TrainingPlan) -> int:
    precision = autocast(next(iter(batch.values())).device, plan.precision)
    kept = adapted.untrained.kept(f"{type(task).__name__}.loss")
    with kept, seeded_globals(0), _plain_kernels(adapted.module), FlopCounterMode(display=False) as counter:
        with precision:
            loss = task.loss(adapted.module, batch, torch.Generator().manual_seed(0))
        loss.backward()
    return int(counter.get_total_flops())


@contextlib.contextmanager
def _trained(adapted: Adapted, names: Collection[str]) -> Iterator[None]:
    """While inside, these parameters of the adapter alone have gradients; afterwards none is left."""
    before = {name: parameter.requires_grad for name, parameter in adapted.trainable.items()}
    try:
        for name, parameter in adapted.trainable.items():
            parameter.requires_grad_(name in names)
        yield
    finally:
        for name, parameter in adapted.trainable.items():
            parameter.requires_grad_(before[name]).grad = None


@contextlib.contextmanager
def _plain_kernels(module: torch.nn.Module) -> Iterator[None]:
    """While inside, attention and recurrent layers are matrix products, which are counted, and not fused kernels.

    Which of these there are depends on the processor, and torch counts few of them.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        if any(isinstance(one, torch.nn.RNNBase) for one in module.modules()):
            (was_enabled, *_) = torch.backends.mkldnn.set_flags(_enabled=False)  # `flags` would warn of TF32
            stack.callback(torch.backends.mkldnn.set_flags, _enabled=was_enabled)
            stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        yield
