"""DoRA through peft: magnitude and direction of a weight are tuned apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedgen_bench import Adapted, AdapterSpec, SeedTree, hookimpl, wrap_with_peft
from fedgen_bench_plugins.adapters.targets import is_linear_or_convolution, resolve, stores_transposed

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Params:
    """DoRA's knobs.

    Args:
        rank: r of every target.
        alpha: the direction's update is (alpha / r) B A.
        targets: roles or endings of module names, as in `lora`; by name, convolutions as well.
    """

    rank: int = 8
    alpha: float = 16.0
    targets: tuple[str, ...] = ("queries", "values")

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"rank must be at least 1, got {self.rank}.")
        if not 0 < self.alpha < float("inf"):
            raise ValueError(f"alpha must be a finite number above 0, got {self.alpha}.")
        if not self.targets:
            raise ValueError("DoRA needs at least one target module.")


class DoRA:
    """DoRA (arXiv 2402.09353): W = m (W0 + s B A) / ||W0 + s B A||, s = alpha / r, norms over each output's inputs.

    Trained are A (r x inputs), B (outputs x r) and the magnitudes m (outputs). B = 0 and m = ||W0|| at the start, A
    comes from the `adapter` stream. The norm counts as a constant in gradients (the paper's section 4.3).
    """

    def __init__(self, params: Params) -> None:
        self.params = params

    def attach(self, module: nn.Module, seeds: SeedTree) -> Adapted:
        """A and B as in LoRA, magnitudes of the backbone's weights.

        Raises ValueError when a target means no module, one that is neither linear nor a convolution, or one with an
        output that all weights leave at zero.
        """
        from peft import LoraConfig

        params = self.params
        config = LoraConfig(
            r=params.rank,
            lora_alpha=params.alpha,
            target_modules=resolve(module, params.targets, is_linear_or_convolution),
            fan_in_fan_out=stores_transposed(module),
            use_dora=True,
        )
        adapted = wrap_with_peft(module, config, seeds)
        for name, parameter in adapted.trainable.items():
            if name.endswith("lora_magnitude_vector.weight") and not parameter.all():
                raise ValueError(f"`{name}` has a zero, by which DoRA would divide. Leave this module out of targets.")
        return adapted


@hookimpl
def register_adapters() -> list[AdapterSpec]:
    summary = "Magnitudes and low-rank directions of chosen modules (arXiv 2402.09353), through peft."
    backbones = {"language_model": {}, "unet": {"targets": ("queries", "values", "conv1")}}
    return [
        AdapterSpec(name="dora", summary=summary, build=DoRA, params=Params, backbones=backbones, libraries=("peft",))
    ]
