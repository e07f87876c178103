"""(IA)^3 through peft: activations are rescaled by learned vectors."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedgen_bench import Adapted, AdapterSpec, SeedTree, hookimpl, wrap_with_peft
from fedgen_bench_plugins.adapters.targets import check_targets, is_linear_or_convolution, stores_transposed

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Params:
    """Which activations are rescaled; both name modules by the endings of their names.

    Args:
        outputs: modules whose outputs are rescaled.
        inputs: modules whose inputs are rescaled; one that both name counts as here.
    """

    outputs: tuple[str, ...] = ("c_attn",)
    inputs: tuple[str, ...] = ("mlp.c_proj",)

    def __post_init__(self) -> None:
        if not self.outputs and not self.inputs:
            raise ValueError("(IA)^3 needs at least one module in outputs or inputs.")


class IA3:
    """(IA)^3 (arXiv 2205.05638): l * (W x + b) for `outputs`, W (l * x) + b for `inputs`; vectors l are 1 at first.

    The paper rescales keys, values and what enters the MLP's second layer. GPT-2 computes queries, keys and values in
    one module, `c_attn`, so that queries are rescaled as well. A U-Net's attention has the paper's modules: outputs
    `to_k` and `to_v`, inputs `ff.net.2`.
    """

    def __init__(self, params: Params) -> None:
        self.params = params

    def attach(self, module: nn.Module, seeds: SeedTree) -> Adapted:
        """Raises ValueError when `outputs` or `inputs` name a module that is not there, or not linear."""
        from peft import IA3Config

        targets = [*self.params.outputs, *self.params.inputs]
        check_targets(module, targets, is_linear_or_convolution)
        endings = "|".join(re.escape(name) for name in self.params.inputs)
        config = IA3Config(
            target_modules=targets,
            feedforward_modules=rf"(?:.*\.)?(?:{endings})" if endings else [],
            fan_in_fan_out=stores_transposed(module),
        )
        return wrap_with_peft(module, config, seeds)


@hookimpl
def register_adapters() -> list[AdapterSpec]:
    summary = "Learned vectors that rescale activations (arXiv 2205.05638), through peft."
    paper = {"outputs": ("to_k", "to_v"), "inputs": ("ff.net.2",)}
    backbones = {"language_model": {}, "unet": paper}
    return [
        AdapterSpec(name="ia3", summary=summary, build=IA3, params=Params, backbones=backbones, libraries=("peft",))
    ]
