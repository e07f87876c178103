"""For authors of tasks: tensors on their way to the device, without waiting for what the device is doing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_WAITED_FOR = ("cpu", "mps")  # to the former there is no way; the latter may read memory after it has been freed


def to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The tensor on the device; what was drawn on the processor, step by step, goes there so.

    `tensor.to(device)` has the program wait until a GPU has done all that it was asked for before. Only memory that is
    locked for the copy can be read by it later.
    """
    if device.type in _WAITED_FOR or tensor.device.type != "cpu":
        return tensor.to(device)
    held = tensor.pin_memory() if device.type == "cuda" else tensor
    return held.to(device, non_blocking=True)
