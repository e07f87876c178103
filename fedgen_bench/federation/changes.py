"""What an update changes, tensor by tensor: of large tensors in blocks that stay in the processor's cache."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from fedgen_bench.contract.data import Tensors

_BLOCK = 1 << 16  # numbers


class Changes:
    """Changes d = y - x of an update, over the floating-point tensors that both sides have in one shape.

    Attributes:
        pairs: (y, x) by name.
        norm: |d| over all of them; where it is finite, so is every y.
    """

    def __init__(self, tensors: Tensors, received: Tensors) -> None:
        self.pairs: Mapping[str, tuple[torch.Tensor, torch.Tensor]] = {
            name: (tensor, received[name])
            for name, tensor in tensors.items()
            if name in received and tensor.shape == received[name].shape and tensor.is_floating_point()
        }
        squares = [_square(tensor, base) for tensor, base in self.pairs.values()]
        self.norm = math.sqrt(math.fsum(torch.stack(squares).tolist())) if squares else 0.0


def in_blocks(
    tensor: torch.Tensor, base: torch.Tensor, *targets: torch.Tensor
) -> Iterator[tuple[torch.Tensor, tuple[torch.Tensor, ...]]]:
    """The change in fp32, block by block, each with the same block of the targets, which have the tensor's shape."""
    if _is_whole(tensor, base, *targets):
        yield (tensor - base).float(), targets
        return
    scratch = torch.empty(_BLOCK)
    for here, there, *parts in zip(*(one.view(-1).split(_BLOCK) for one in (tensor, base, *targets)), strict=True):
        yield torch.sub(here, there, out=scratch[: len(here)]), tuple(parts)


def _is_whole(*tensors: torch.Tensor) -> bool:
    """Whether they are one block: small ones, and those that are no plain rows of numbers in fp32."""
    return tensors[0].numel() <= _BLOCK or not all(
        one.dtype == torch.float32 and one.is_contiguous() and one.is_cpu for one in tensors
    )


def _square(tensor: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
    """|d|^2 with the bits of one sum over the whole tensor."""
    if _is_whole(tensor, base):
        change = (tensor - base).float()
        return (change * change).sum()
    squares = torch.empty_like(tensor)
    for change, (part,) in in_blocks(tensor, base, squares):
        torch.mul(change, change, out=part)
    return squares.sum()


def is_finite(tensor: torch.Tensor) -> bool:
    """Whether no number is NaN or infinite. A finite sum says so in one reading; an infinite one may be an overflow."""
    if not tensor.is_floating_point():
        return True
    return math.isfinite(float(tensor.sum())) or bool(torch.isfinite(tensor).all())
