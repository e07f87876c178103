"""What an update changes, tensor by tensor: of large tensors in blocks that stay in the processor's cache."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from fedgen_bench.contract.data import Tensors

_BLOCK = 1 << 18  # numbers, 1 MiB of them


class Changes:
    """Changes d = y - x of an update, over the floating-point tensors that both sides have in one shape.

    Attributes:
        pairs: (y, x) by name.
        norm: |d| over all of them; where it is finite, so is every y.
        small: d in fp32 by name, where all of them are small; None where they are told block by block.
    """

    def __init__(self, tensors: Tensors, received: Tensors) -> None:
        self.pairs: Mapping[str, tuple[torch.Tensor, torch.Tensor]] = {
            name: (tensor, received[name])
            for name, tensor in tensors.items()
            if name in received and tensor.shape == received[name].shape and tensor.is_floating_point()
        }
        self.small: Mapping[str, torch.Tensor] | None = None
        sizes = [tensor.numel() for tensor, _ in self.pairs.values()]
        squares = []
        if 0 < sum(sizes) <= _BLOCK:
            both: Any = list(zip(*self.pairs.values(), strict=True))
            wide: Any = [change.float() for change in torch._foreach_sub(*both)]  # noqa: SLF001 - as optimizers do
            self.small = dict(zip(self.pairs, wide, strict=True))
            squares = [square.sum() for square in torch._foreach_mul(wide, wide)]  # noqa: SLF001
        elif sizes:
            self._scratch = torch.empty(min(_BLOCK, max(sizes)))  # one memory for every block: it stays in the cache
            squares = [self._square(name) for name in self.pairs]
        self.norm = math.sqrt(math.fsum(torch.stack(squares).tolist())) if squares else 0.0

    def in_blocks(self, name: str, *targets: torch.Tensor) -> Iterator[tuple[torch.Tensor, tuple[torch.Tensor, ...]]]:
        """A tensor's change in fp32, block by block, each with this block of the targets, which have its shape.

        A block is good until the next is asked for, and may be written to.
        """
        tensor, base = self.pairs[name]
        together = (tensor, base, *targets)
        if not _are_rows(together):
            yield (tensor - base).float(), targets
        elif tensor.numel() <= _BLOCK:
            yield torch.sub(tensor, base, out=self._scratch[: tensor.numel()].view(tensor.shape)), targets
        else:
            for here, there, *parts in zip(*(one.view(-1).split(_BLOCK) for one in together), strict=True):
                yield torch.sub(here, there, out=self._scratch[: len(here)]), tuple(parts)

    def _square(self, name: str) -> torch.Tensor:
        """|d|^2 with the bits of one sum over the whole tensor."""
        tensor, base = self.pairs[name]
        if tensor.numel() <= _BLOCK or not _are_rows((tensor, base)):
            ((change, _),) = self.in_blocks(name)
            return change.mul_(change).sum()
        squares = torch.empty(tensor.shape)
        for change, (part,) in self.in_blocks(name, squares):
            torch.mul(change, change, out=part)
        return squares.sum()


def _are_rows(tensors: Sequence[torch.Tensor]) -> bool:
    """Whether all are plain rows of numbers in fp32."""
    return all(one.dtype == torch.float32 and one.is_contiguous() and one.is_cpu for one in tensors)


def is_finite(tensor: torch.Tensor) -> bool:
    """Whether no number is NaN or infinite. A finite sum says so in one reading; an infinite one may be an overflow."""
    if not tensor.is_floating_point():
        return True
    return math.isfinite(float(tensor.sum())) or bool(torch.isfinite(tensor).all())
