"""Full fine-tuning: every parameter of the backbone is trained and travels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fedgen_bench import Adapted, AdapterSpec, NoParams, SeedTree, hookimpl

if TYPE_CHECKING:
    from torch import nn


class Full:
    """Every parameter, tied ones once."""

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def attach(self, module: nn.Module, seeds: SeedTree) -> Adapted:
        """Initial values are the backbone's own."""
        return Adapted(module, dict(module.named_parameters()))


class Nothing:
    """No parameter: the frozen backbone."""

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def attach(self, module: nn.Module, seeds: SeedTree) -> Adapted:
        """Trains nothing."""
        return Adapted(module.requires_grad_(requires_grad=False), {})


@hookimpl
def register_adapters() -> list[AdapterSpec]:
    backbones: dict[str, dict[str, Any]] = {"language_model": {}, "unet": {}}
    return [
        AdapterSpec(name="full", summary="Every parameter of the backbone.", build=Full, backbones=backbones),
        AdapterSpec(
            name="none", summary="No parameter: the backbone stays as it is.", build=Nothing, backbones=backbones
        ),
    ]
