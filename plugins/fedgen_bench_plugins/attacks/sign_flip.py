"""Sign flipping: the hostile client pushes the other way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedgen_bench import AttackSpec, Tensors, hookimpl
from fedgen_bench_plugins.attacks.changes import with_change

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Params:
    """strength: how far the other way."""

    strength: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.strength < float("inf"):
            raise ValueError(f"strength must be a finite number above 0, got {self.strength}.")


class SignFlip:
    """x - strength (y - x) is sent instead of y (as in arXiv 2006.09365)."""

    def __init__(self, params: Params) -> None:
        self.params = params

    def distort(self, tensors: Tensors, received: Tensors, generator: torch.Generator) -> Tensors:
        return with_change(tensors, received, lambda change: -self.params.strength * change)


@hookimpl
def register_attacks() -> list[AttackSpec]:
    return [
        AttackSpec(name="sign_flip", summary="The change is sent with its sign turned.", build=SignFlip, params=Params)
    ]
