"""For adapters of linear layers: targets by role or by ending of a module's name, and how weights are stored."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from fedgen_bench_plugins.adapters.roles import ROLES, is_linear, layers_of

if TYPE_CHECKING:
    from torch import nn

Fits = Callable[["nn.Module"], bool]


def is_linear_or_convolution(module: nn.Module) -> bool:
    """Whether a module is linear, at every place of an image or not."""
    from torch import nn

    return is_linear(module) or isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d)


def resolve(module: nn.Module, targets: Iterable[str], fits: Fits) -> list[str]:
    """Targets as peft takes them: a role as the full names of its layers, a name as it is.

    A word that ends the names of layers which fit is a name, whatever role is called the same.

    Raises:
        ValueError: a target is no role and ends no module's name, or it means layers that do not fit, or none; it
            tells the layers and roles there are.
    """
    return [name for target in targets for name in _resolved(module, target, fits)]


def _resolved(module: nn.Module, target: str, fits: Fits) -> list[str]:
    kind = "linear layer" if fits is is_linear else "linear layer or convolution"
    named = [(name, layer) for name, layer in module.named_modules() if name and _ends(name, target)]
    if named and all(fits(layer) for _, layer in named):
        return [target]
    if target in ROLES:
        layers = layers_of(module, target)
        if not layers:
            raise ValueError(
                f"Role `{target}` means no layer of this backbone. It has: {_there(module, fits)}. Choose among them."
            )
        named = [(name, module.get_submodule(name)) for name in layers]
    if not named:
        raise ValueError(
            f"Target `{target}` names no module of this backbone. It has: {_there(module, fits)}. Choose among them."
        )
    if unfit := [f"`{name}` ({type(layer).__name__})" for name, layer in named if not fits(layer)]:
        more = f" and {len(unfit) - 1} more" if len(unfit) > 1 else ""
        raise ValueError(
            f"Target `{target}` names {unfit[0]}{more}, which is no {kind}. Choose among: {_there(module, fits)}."
        )
    return [name for name, _ in named]


def _there(module: nn.Module, fits: Fits) -> str:
    """Names of the layers that fit, and the roles that mean some."""
    names = sorted({_ending(name) for name, layer in module.named_modules() if name and fits(layer)})
    roles = [role for role in ROLES if layers_of(module, role)]
    return ", ".join(names) + (f"; by role: {', '.join(roles)}" if roles else "")


def rank_patterns(module: nn.Module, ranks: Mapping[str, int], targets: list[str]) -> dict[str, int]:
    """Ranks by name or role as peft takes them, by pattern of a layer's full name; the first that fits counts.

    Names come before roles, and roles that mean fewer layers before others.

    Args:
        module: the backbone.
        ranks: by role or by ending of a module's name.
        targets: as `resolve` gives them.

    Raises:
        ValueError: what `ranks` names is not among the targets.
    """
    aimed = [name for name, _ in module.named_modules() if any(_ends(name, target) for target in targets)]
    roles, patterns = [], {}
    for given, rank in ranks.items():
        if named := [name for name in aimed if _ends(name, given)]:
            patterns[rf"^(.*\.)?{re.escape(given)}$"] = rank
        elif given in ROLES and (named := [name for name in layers_of(module, given) if name in aimed]):
            roles.append((named, rank))
        if not named:
            raise ValueError(
                f"ranks names `{given}`, which is not among the targets. These are: "
                f"{', '.join(sorted({_ending(name) for name in aimed}))}. Choose among them."
            )
    for named, rank in sorted(roles, key=lambda role: len(role[0])):
        for name in named:
            patterns.setdefault(f"^{re.escape(name)}$", rank)
    return patterns


def _ends(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")


def _ending(name: str) -> str:
    """The shortest ending that tells what a layer is: the last part, with the one before it when it is a number."""
    parts = name.split(".")
    return ".".join(parts[-2:] if parts[-1].isdigit() else parts[-1:])


def stores_transposed(module: nn.Module) -> bool:
    """Whether the backbone is of the GPT-2 kind: `Conv1D` layers, with weights of shape (inputs, outputs)."""
    return any(type(layer).__name__ == "Conv1D" for layer in module.modules())
