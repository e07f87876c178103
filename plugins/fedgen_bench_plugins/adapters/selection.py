"""For adapters that train some of the backbone's own parameters: choosing them, and telling norms."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from fedgen_bench import Adapted

if TYPE_CHECKING:
    from torch import nn


def train_only(module: nn.Module, names: Collection[str], what: str) -> Adapted:
    """Freeze all but the parameters `names`, which keep name and value. `what` stands in the error.

    Raises ValueError when there are none, or one is stored quantised.
    """
    if not names:
        raise ValueError(f"This backbone has no {what}. Choose another adapter.")
    module.requires_grad_(requires_grad=False)
    chosen = {name: parameter for name, parameter in module.named_parameters() if name in names}
    for name, parameter in chosen.items():
        if not parameter.is_floating_point():
            raise ValueError(
                f"it would train `{name}`, which the backbone stores quantised: it has no gradient. Leave "
                "`loading.quantization` out, or choose an adapter that leaves it frozen, such as `lora`."
            )
        parameter.requires_grad_()
    return Adapted(module, chosen)


def is_norm(module: nn.Module) -> bool:
    """Whether a module is a layer, RMS or group norm with parameters.

    Torch's own are known; every architecture brings others. They have no parts, their parameters are vectors or single
    numbers, and they have an epsilon or are called norms. Norms with running statistics are none of these.
    """
    from torch import nn

    if isinstance(module, nn.LayerNorm | nn.GroupNorm | nn.RMSNorm):
        return any(True for _ in module.parameters())
    own = list(module.parameters(recurse=False))
    if not own or any(weight.ndim > 1 for weight in own) or next(module.children(), None) or _has_statistics(module):
        return False
    epsilon = any(
        name.endswith(("eps", "epsilon")) and isinstance(value, float) for name, value in vars(module).items()
    )
    return epsilon or _is_called_norm(module)


def check_no_norm_is_left_out(module: nn.Module) -> None:
    """Raises ValueError when a module is called a norm, has parameters of its own, and is none that `is_norm` knows."""
    for name, layer in module.named_modules():
        if _is_called_norm(layer) and not is_norm(layer) and any(True for _ in layer.parameters(recurse=False)):
            raise ValueError(
                f"`{name}` ({type(layer).__name__}) is called a norm and is no layer, RMS or group norm: it would be "
                "left out. Choose another adapter."
            )


def _is_called_norm(module: nn.Module) -> bool:
    return "norm" in type(module).__name__.lower()


def _has_statistics(module: nn.Module) -> bool:
    return any("running" in name for name, _ in module.named_buffers(recurse=False))


def parameters_within(module: nn.Module, names: Collection[str]) -> set[str]:
    """Full names of all parameters of the named modules, those of their parts included."""
    return {f"{name}.{inner}" for name in names for inner, _ in module.get_submodule(name).named_parameters()}
