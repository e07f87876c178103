"""How much memory a cell's training takes, from what is trained and what one example leaves behind for its gradient."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from fedgen_bench.federation.trainer import autocast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fedgen_bench.contract.adapting import Adapted
    from fedgen_bench.contract.protocols import Task
    from fedgen_bench.federation.trainer import TrainingPlan

_MOMENTS = {"adamw": 2, "sgd": 0}


@dataclass(frozen=True)
class Footprint:
    """Bytes that a client's training holds at its largest.

    Args:
        module_bytes: the adapted module's parameters and buffers, once.
        trained_bytes: those of the adapter.
        n_moments: tensors of that size that the optimizer keeps, one more for a moving average.
        example_bytes: what the loss of one example keeps for its gradient.
        batch_size: examples of a batch, which has no more than who trains on it holds.
    """

    module_bytes: int
    trained_bytes: int
    n_moments: int
    example_bytes: int
    batch_size: int

    def on(self, device: str) -> int:
        """What the memory must hold in which `device` computes.

        Module, gradients, moments and a batch; on a CPU also the adapter's tensors as they began, the server's, and
        those that the client received.
        """
        n_copies = 1 + self.n_moments + (0 if device.startswith("cuda") else 3)
        return self.module_bytes + n_copies * self.trained_bytes + self.batch_size * self.example_bytes


def footprint(
    adapted: Adapted, task: Task, example: Mapping[str, torch.Tensor], plan: TrainingPlan, n_held: int
) -> Footprint:
    """Of an adapted module; `example` is a batch of one, whose loss is computed with a graph but without a gradient.

    `n_held` is how many examples are held by whoever holds most of them and trains.

    Raises whatever the task's loss raises.
    """
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage.nbytes()  # noqa: SLF001 - an address would count as a write
        return tensor

    tensors = (*adapted.module.parameters(), *adapted.module.buffers())
    own = {one.untyped_storage()._cdata for one in tensors}  # noqa: SLF001
    precision = autocast(next(iter(example.values())).device, plan.precision)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), precision:
        loss = task.loss(adapted.module, example, torch.Generator().manual_seed(0))
    del loss
    return Footprint(
        module_bytes=sum(one.nbytes for one in tensors),
        trained_bytes=sum(one.nbytes for one in adapted.trainable.values()),
        n_moments=_MOMENTS[plan.optimizer] + (plan.ema_decay is not None),
        example_bytes=sum(n_bytes for storage, n_bytes in kept.items() if storage not in own),
        batch_size=min(plan.batch_size, n_held),
    )


def memory_bytes(device: str) -> int:
    """Of the device, or of this machine: as much as there is, or as this process's group is allowed."""
    if device.startswith("cuda"):
        return int(torch.cuda.get_device_properties(torch.device(device)).total_memory)
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        allowed = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        allowed = ""
    return min(there, int(allowed)) if allowed.isdigit() else there
