"""Gradients with differential privacy for single examples: each example's clipped, summed, with noise (DP-SGD)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from fedgen_bench.suite.example_dp import ExampleDP


class ClippedGradients:
    """Of one batch after the other: (sum_i g_i min(1, C / ||g_i||) + N(0, (z C)^2)) / batch size (arXiv 1607.00133).

    The divisor is the suite's batch size whatever an epoch's last batch holds, so that it tells nothing of the data.
    Examples are worked off one by one: that takes the memory of one gradient, and less time on a processor than
    `torch.func.vmap` takes for a whole model.

    Args:
        parameters: what is trained; the norm is over all of them.
        asked: C and z.
        batch_size: of the suite.
        noise: the noise's generator, on the CPU.
    """

    def __init__(
        self, parameters: Sequence[torch.nn.Parameter], asked: ExampleDP, batch_size: int, noise: torch.Generator
    ) -> None:
        self._parameters, self._asked, self._batch_size, self._noise = parameters, asked, batch_size, noise
        self._sums = [torch.zeros_like(parameter) for parameter in parameters]

    def add(self, loss: torch.Tensor) -> None:
        """One example's loss; what it does not depend on has no gradient."""
        gradients = torch.autograd.grad(loss, self._parameters, allow_unused=True)
        there = [one for one in gradients if one is not None]
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(one) for one in there]))
        factor = self._asked.clip / norm.clamp(min=self._asked.clip)
        with torch.no_grad():
            sums: Any = [total for total, one in zip(self._sums, gradients, strict=True) if one is not None]
            scaled: Any = torch._foreach_mul(there, factor)  # noqa: SLF001 - as optimizers do
            torch._foreach_add_(sums, scaled)

    def into_gradients(self) -> None:
        """The batch's, in the place of the parameters' own; the next batch begins."""
        spread = self._asked.noise * self._asked.clip
        for parameter, total in zip(self._parameters, self._sums, strict=True):
            drawn = torch.randn(total.shape, generator=self._noise).to(total.device)
            parameter.grad = (total + spread * drawn) / self._batch_size
            total.zero_()


def batch_norm_in(module: torch.nn.Module) -> str:
    """The name of a part that mixes the examples of a batch; empty where there is none."""
    kind = torch.nn.modules.batchnorm._BatchNorm  # noqa: SLF001 - what all of them are
    return next((path for path, part in module.named_modules() if isinstance(part, kind)), "")
