"""For adapters of linear layers: targets by ending of a module's name, and how the backbone stores its weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def is_linear(module: nn.Module) -> bool:
    """Whether a module computes W x + b: torch's `Linear`, or `Conv1D` as GPT-2 has it."""
    from torch import nn

    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"


def is_linear_or_convolution(module: nn.Module) -> bool:
    """Whether a module is linear, at every place of an image or not."""
    from torch import nn

    return is_linear(module) or isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d)


def check_targets(module: nn.Module, targets: Iterable[str], fits: Callable[[nn.Module], bool]) -> None:
    """Raises ValueError, naming the layers there are, when a target ends no module's name or one that does not fit."""
    there = [(name, layer) for name, layer in module.named_modules() if name]
    for target in targets:
        named = [(name, layer) for name, layer in there if _ends(name, target)]
        known = ", ".join(sorted({_ending(name) for name, layer in there if fits(layer)}))
        if not named:
            raise ValueError(f"Target `{target}` names no module of this backbone. It has: {known}. Choose among them.")
        if unfit := [f"`{name}` ({type(layer).__name__})" for name, layer in named if not fits(layer)]:
            more = f" and {len(unfit) - 1} more" if len(unfit) > 1 else ""
            kind = "linear layer" if fits is is_linear else "linear layer or convolution"
            raise ValueError(f"Target `{target}` names {unfit[0]}{more}, which is no {kind}. Choose among: {known}.")


def _ends(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")


def _ending(name: str) -> str:
    """The shortest ending that tells what a layer is: the last part, with the one before it when it is a number."""
    parts = name.split(".")
    return ".".join(parts[-2:] if parts[-1].isdigit() else parts[-1:])


def stores_transposed(module: nn.Module) -> bool:
    """Whether the backbone is of the GPT-2 kind: `Conv1D` layers, with weights of shape (inputs, outputs)."""
    return any(type(layer).__name__ == "Conv1D" for layer in module.modules())
