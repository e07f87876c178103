"""For adapters of linear layers: targets by ending of a module's name, and how the backbone stores its weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def check_targets(module: nn.Module, targets: Iterable[str]) -> None:
    """Raises ValueError, naming the modules there are, when a target is the ending of no module's name."""
    names = [name for name, _ in module.named_modules() if name]
    for target in targets:
        if not any(name == target or name.endswith(f".{target}") for name in names):
            leaves = [name for name, one in module.named_modules() if name and not list(one.children())]
            known = ", ".join(sorted({name.rsplit(".", 1)[-1] for name in leaves}))
            raise ValueError(f"Target `{target}` names no module of this backbone. It has: {known}.")


def stores_transposed(module: nn.Module) -> bool:
    """Whether the backbone is of the GPT-2 kind: `Conv1D` layers, with weights of shape (inputs, outputs)."""
    return any(type(one).__name__ == "Conv1D" for one in module.modules())
