"""How much memory a cell's training takes, from what is trained and what one example leaves behind for its gradient."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from fedgen_bench.contract.recomputing import kept_for_gradients, measured_parts
from fedgen_bench.contract.seeds import seeded_globals
from fedgen_bench.contract.storage import largest_cast_bytes
from fedgen_bench.federation.trainer import autocast

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

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
        fixed_bytes: what the loss of a batch keeps for its gradient whatever its size, such as weights in bf16, and the
            largest weight that is cast when it is used.
        example_bytes: what it keeps for each example, and what is computed again for the gradient, at its largest.
        batch_size: examples of a batch (or micro-batch), which has no more than who trains on it holds.
    """

    module_bytes: int
    trained_bytes: int
    n_moments: int
    fixed_bytes: int
    example_bytes: int
    batch_size: int

    def on(self, device: str) -> int:
        """What the memory must hold in which `device` computes.

        Module, gradients, moments and a batch; on a CPU, and on MPS, which shares its memory, also the adapter's
        tensors as they began, the server's, and those that the client received.
        """
        n_copies = 1 + self.n_moments + (0 if device.startswith("cuda") else 3)
        batch_bytes = self.fixed_bytes + self.batch_size * self.example_bytes
        return self.module_bytes + n_copies * self.trained_bytes + batch_bytes

    @property
    def on_client(self) -> int:
        """What the memory of a client's own device must hold: as on a GPU, and the tensors that it received."""
        return self.on("cuda") + self.trained_bytes


def footprint(
    adapted: Adapted, task: Task, example: Mapping[str, torch.Tensor], plan: TrainingPlan, n_held: int
) -> Footprint:
    """Of an adapted module; `example` is a batch of one, whose loss is computed with a graph but without a gradient.

    So is that of the example and itself again, which tells what every example adds.

    `n_held` is how many examples are held by whoever holds most of them and trains.

    Raises whatever the task's loss raises.
    """
    tensors = (*adapted.module.parameters(), *adapted.module.buffers())
    own = {one.untyped_storage()._cdata for one in tensors}  # noqa: SLF001 - an address would count as a write
    with trying(adapted.module):
        for_one, for_two = (_kept_bytes(adapted, task, batch, plan, own) for batch in (example, twice(example)))
    computed_in = torch.bfloat16 if plan.precision == "bf16" else torch.float32
    example_bytes = min(max(for_two - for_one, 0), for_one)
    return Footprint(
        module_bytes=sum(one.nbytes for one in tensors),
        trained_bytes=sum(one.nbytes for one in adapted.trainable.values()),
        n_moments=_MOMENTS[plan.optimizer] + (plan.ema_decay is not None),
        fixed_bytes=for_one - example_bytes + largest_cast_bytes(adapted.module, computed_in),
        example_bytes=example_bytes,
        batch_size=min(plan.examples_at_once, n_held),
    )


def twice(example: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A batch of two from a batch of one."""
    return {name: torch.cat([tensor, tensor]) for name, tensor in example.items()}


@contextlib.contextmanager
def trying(module: torch.nn.Module) -> Iterator[None]:
    """While inside, the module is as it is trained, but for layers that refuse a batch of one."""
    module.train()
    for layer in module.modules():
        if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):  # noqa: SLF001
            layer.eval()
    try:
        yield
    finally:
        module.eval()


def _kept_bytes(
    adapted: Adapted, task: Task, batch: Mapping[str, torch.Tensor], plan: TrainingPlan, own: set[int]
) -> int:
    """What the loss of a batch keeps for its gradient, besides the storages that are the module's own.

    Of the parts that are computed again, the largest counts with all that it keeps then, the others with their inputs.
    """
    kept: dict[int, int] = {}
    precision = autocast(next(iter(batch.values())).device, plan.precision)
    with seeded_globals(0), kept_for_gradients(kept), measured_parts() as parts, precision:
        loss = task.loss(adapted.module, batch, torch.Generator().manual_seed(0))
    del loss
    beside = own | kept.keys()
    recomputed = max((_total(part, beside) for part in parts), default=0)
    return _total(kept, own) + recomputed


def _total(kept: Mapping[int, int], without: Collection[int]) -> int:
    return sum(n_bytes for storage, n_bytes in kept.items() if storage not in without)


def memory_bytes(device: str) -> int:
    """Of the device, or of this machine: as much as there is, or as this process's group is allowed."""
    if device.startswith("cuda"):
        return int(torch.cuda.get_device_properties(torch.device(device)).total_memory)
    if device == "mps":
        return torch.mps.recommended_max_memory()
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        allowed = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        allowed = ""
    return min(there, int(allowed)) if allowed.isdigit() else there
