"""Scaling: the hostile client exaggerates its change (model replacement)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedgen_bench import AttackSpec, Tensors, hookimpl
from fedgen_bench_plugins.attacks.changes import with_change

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Params:
    """factor: by which the change is multiplied."""

    factor: float = 10.0

    def __post_init__(self) -> None:
        if not 0 < self.factor < float("inf"):
            raise ValueError(f"factor must be a finite number above 0, got {self.factor}.")


class Scaled:
    """x + factor (y - x) is sent instead of y (model replacement, arXiv 1807.00459)."""

    def __init__(self, params: Params) -> None:
        self.params = params

    def distort(self, tensors: Tensors, received: Tensors, generator: torch.Generator) -> Tensors:
        return with_change(tensors, received, lambda change: self.params.factor * change)


@hookimpl
def register_attacks() -> list[AttackSpec]:
    return [AttackSpec(name="scaled", summary="The change is multiplied.", build=Scaled, params=Params)]
