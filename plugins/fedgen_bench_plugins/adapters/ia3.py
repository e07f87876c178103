"""(IA)^3 through peft: activations are rescaled by learned vectors."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fedgen_bench import Adapted, AdapterSpec, SeedTree, hookimpl, wrap_with_peft
from fedgen_bench_plugins.adapters.targets import is_linear_or_convolution, resolve, stores_transposed

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Params:
    """Which activations are rescaled; both mean modules by role or by the endings of their names, as in `lora`.

    Args:
        outputs: modules whose outputs are rescaled.
        inputs: modules whose inputs are rescaled; one that both mean counts as here.
    """

    outputs: tuple[str, ...] = ("keys", "values")
    inputs: tuple[str, ...] = ("mlp_output",)

    def __post_init__(self) -> None:
        if not self.outputs and not self.inputs:
            raise ValueError("(IA)^3 needs at least one module in outputs or inputs.")


class IA3:
    """(IA)^3 (arXiv 2205.05638): l * (W x + b) for `outputs`, W (l * x) + b for `inputs`; vectors l are 1 at first.

    The paper rescales keys, values and what enters the MLP's second layer: the defaults. Where queries, keys and values
    come from one module (GPT-2's `c_attn`), queries are rescaled as well.
    """

    def __init__(self, params: Params) -> None:
        self.params = params

    def attach(self, module: nn.Module, seeds: SeedTree) -> Adapted:
        """Raises ValueError when `outputs` or `inputs` mean a module that is not there, or not linear."""
        from peft import IA3Config

        outputs, inputs = (
            resolve(module, named, is_linear_or_convolution) for named in (self.params.outputs, self.params.inputs)
        )
        endings = "|".join(re.escape(name) for name in inputs)
        config = IA3Config(
            target_modules=[*outputs, *inputs],
            feedforward_modules=rf"(?:.*\.)?(?:{endings})" if endings else [],
            fan_in_fan_out=stores_transposed(module),
        )
        return wrap_with_peft(module, config, seeds)


@hookimpl
def register_adapters() -> list[AdapterSpec]:
    summary = "Learned vectors that rescale activations (arXiv 2205.05638), through peft."
    backbones: dict[str, dict[str, Any]] = {"language_model": {}, "unet": {}}
    return [
        AdapterSpec(name="ia3", summary=summary, build=IA3, params=Params, backbones=backbones, libraries=("peft",))
    ]
