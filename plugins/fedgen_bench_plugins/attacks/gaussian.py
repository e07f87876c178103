"""Gaussian noise: the hostile client sends noise of a chosen size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedgen_bench import AttackSpec, Tensors, hookimpl
from fedgen_bench_plugins.attacks.changes import with_change

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Params:
    """size: standard deviation over the root mean square of the honest change."""

    size: float = 10.0

    def __post_init__(self) -> None:
        if not 0 < self.size < float("inf"):
            raise ValueError(f"size must be a finite number above 0, got {self.size}.")


class Gaussian:
    """x + size rms(y - x) z with z ~ N(0, 1) is sent instead of y, tensor by tensor (as in arXiv 1703.02757)."""

    def __init__(self, params: Params) -> None:
        self.params = params

    def distort(self, tensors: Tensors, received: Tensors, generator: torch.Generator) -> Tensors:
        import torch

        def noise(change: torch.Tensor) -> torch.Tensor:
            drawn = torch.randn(change.shape, generator=generator)
            return (self.params.size * change.double().square().mean().sqrt() * drawn).to(change.dtype)

        return with_change(tensors, received, noise)


@hookimpl
def register_attacks() -> list[AttackSpec]:
    return [AttackSpec(name="gaussian", summary="Noise is sent instead of the change.", build=Gaussian, params=Params)]
