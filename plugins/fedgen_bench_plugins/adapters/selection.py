"""For adapters that train some of the backbone's own parameters: choosing them, and telling norms."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from fedgen_bench import Adapted

if TYPE_CHECKING:
    from torch import nn


def train_only(module: nn.Module, names: Collection[str], what: str) -> Adapted:
    """Freeze all but the parameters `names`, which keep name and value. `what` stands in the error.

    Raises ValueError when there are none.
    """
    if not names:
        raise ValueError(f"This backbone has no {what}. Choose another adapter.")
    module.requires_grad_(requires_grad=False)
    chosen = {name: one for name, one in module.named_parameters() if name in names}
    for one in chosen.values():
        one.requires_grad_()
    return Adapted(module, chosen)


def is_norm(module: nn.Module) -> bool:
    """Whether a module is a layer, RMS or group norm, by its class's name: every architecture brings its own class."""
    return type(module).__name__.endswith(("LayerNorm", "RMSNorm", "GroupNorm"))


def parameters_within(module: nn.Module, names: Collection[str]) -> set[str]:
    """Full names of all parameters of the named modules, those of their parts included."""
    return {f"{name}.{inner}" for name in names for inner, _ in module.get_submodule(name).named_parameters()}
