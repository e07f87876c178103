"""LayerNorm tuning: only weights and biases of the norms are trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedgen_bench import Adapted, AdapterSpec, NoParams, SeedTree, hookimpl
from fedgen_bench_plugins.adapters.selection import check_no_norm_is_left_out, is_norm, parameters_within, train_only

if TYPE_CHECKING:
    from torch import nn


class LayerNormTuning:
    """LayerNorm tuning (arXiv 2312.11420): gains and biases of all layer norms, RMS norms and group norms included."""

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def attach(self, module: nn.Module, seeds: SeedTree) -> Adapted:
        """Initial values are the backbone's own. Raises ValueError when it has no such norm, or one of another kind."""
        check_no_norm_is_left_out(module)
        norms = [name for name, layer in module.named_modules() if is_norm(layer)]
        return train_only(module, parameters_within(module, norms), "norm with parameters")


@hookimpl
def register_adapters() -> list[AdapterSpec]:
    summary = "Gains and biases of all norms (arXiv 2312.11420)."
    return [
        AdapterSpec(
            name="layernorm", summary=summary, build=LayerNormTuning, backbones={"language_model": {}, "unet": {}}
        )
    ]
