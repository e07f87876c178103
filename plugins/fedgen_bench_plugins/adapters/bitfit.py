"""BitFit: only the biases are trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedgen_bench import Adapted, AdapterSpec, NoParams, SeedTree, hookimpl
from fedgen_bench_plugins.adapters.selection import train_only

if TYPE_CHECKING:
    from torch import nn


class BitFit:
    """BitFit (arXiv 2106.10199): every bias of the backbone, those of its norms included, and nothing else."""

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def attach(self, module: nn.Module, seeds: SeedTree) -> Adapted:
        """Initial values are the backbone's own. Raises ValueError when it has no bias."""
        names = {name for name, _ in module.named_parameters() if name.rsplit(".", 1)[-1] == "bias"}
        return train_only(module, names, "bias")


@hookimpl
def register_adapters() -> list[AdapterSpec]:
    summary = "Every bias of the backbone (arXiv 2106.10199)."
    return [AdapterSpec(name="bitfit", summary=summary, build=BitFit, backbones={"language_model": {}, "unet": {}})]
