"""For adapters of linear layers: targets by ending of a module's name, and how the backbone stores its weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

_MATRIX = 2


def check_targets(module: nn.Module, targets: Iterable[str]) -> None:
    """Raises ValueError, naming the layers there are, when a target is the ending of no module's name."""
    names = [name for name, _ in module.named_modules() if name]
    for target in targets:
        if not any(_ends(name, target) for name in names):
            layers = {_ending(name) for name, one in module.named_modules() if _n_dimensions(one) >= _MATRIX}
            known = ", ".join(sorted(layers))
            raise ValueError(f"Target `{target}` names no module of this backbone. It has: {known}. Choose among them.")


def check_linear(module: nn.Module, targets: Iterable[str]) -> None:
    """Raises ValueError when a target names a convolution, whose low-rank factors would be no matrices."""
    for target in targets:
        if any(_ends(name, target) and _n_dimensions(one) > _MATRIX for name, one in module.named_modules()):
            linear = {_ending(name) for name, one in module.named_modules() if _n_dimensions(one) == _MATRIX}
            known = ", ".join(sorted(linear))
            raise ValueError(f"Target `{target}` is a convolution. Choose linear layers among: {known}.")


def _ends(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")


def _ending(name: str) -> str:
    """The shortest ending that tells what a layer is: the last part, with the one before it when it is a number."""
    parts = name.split(".")
    return ".".join(parts[-2:] if parts[-1].isdigit() else parts[-1:])


def _n_dimensions(module: nn.Module) -> int:
    """Of a module's own weight: 2 for a matrix, more for a convolution, which has a kernel; 0 without a weight."""
    weight = dict(module.named_parameters(recurse=False)).get("weight")
    return 0 if weight is None else weight.ndim


def stores_transposed(module: nn.Module) -> bool:
    """Whether the backbone is of the GPT-2 kind: `Conv1D` layers, with weights of shape (inputs, outputs)."""
    return any(type(one).__name__ == "Conv1D" for one in module.modules())
