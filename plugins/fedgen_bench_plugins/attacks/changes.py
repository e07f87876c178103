"""What attacks share: they change what a client changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from fedgen_bench import Tensors


def with_change(
    tensors: Tensors, received: Tensors, distort: Callable[[torch.Tensor], torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Received + distort(tensors - received) for floating-point tensors; what was not received counts from 0."""
    changed = {}
    for name, tensor in sorted(tensors.items()):
        base = received.get(name)
        if not tensor.is_floating_point():
            changed[name] = tensor
        elif base is None or base.shape != tensor.shape:
            changed[name] = distort(tensor)
        else:
            changed[name] = base + distort(tensor - base)
    return changed
