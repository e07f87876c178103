"""LoRA through peft, with ranks by module and an output head that may be tied to the embedding."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fedgen_bench import Adapted, AdapterSpec, SeedTree, hookimpl, wrap_with_peft
from fedgen_bench_plugins.adapters.targets import check_targets, is_linear, stores_transposed

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Params:
    """LoRA's knobs.

    Args:
        rank: r of every target that `ranks` does not name.
        alpha: the update is (alpha / r) B A; with `ranks`, every module keeps the ratio alpha / rank.
        dropout: on the input of A.
        targets: endings of module names, for instance `c_attn` (GPT-2; the output head is `lm_head`), or `to_q` and
            `to_out.0` (the attention of a diffusion U-Net); linear layers only.
        ranks: rank by module-name ending, over `rank`.
    """

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    targets: tuple[str, ...] = ("c_attn",)
    ranks: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if any(rank < 1 for rank in (self.rank, *self.ranks.values())):
            raise ValueError("LoRA ranks must be at least 1.")
        if not 0 < self.alpha < float("inf"):
            raise ValueError(f"alpha must be a finite number above 0, got {self.alpha}.")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, got {self.dropout}.")
        if not self.targets:
            raise ValueError("LoRA needs at least one target module.")
        if stray := self.ranks.keys() - set(self.targets):
            raise ValueError(f"ranks names `{min(stray)}`, which is not among the targets.")


class LoRA:
    """LoRA (arXiv 2106.09685): W0 x + (alpha / r) B A x with B = 0 at the start and A from the `adapter` stream.

    An update of a tied output head changes the head alone: the embedding stays the backbone's.
    """

    def __init__(self, params: Params) -> None:
        self.params = params

    def attach(self, module: nn.Module, seeds: SeedTree) -> Adapted:
        """Raises ValueError when a target names no module, or one that is not linear."""
        from peft import LoraConfig

        from fedgen_bench_plugins.adapters.lora_layer import add_in_place

        params = self.params
        check_targets(module, params.targets, is_linear)
        ratio = params.alpha / params.rank
        pattern = {rf"^(.*\.)?{re.escape(name)}$": rank for name, rank in params.ranks.items()}
        config = LoraConfig(
            r=params.rank,
            lora_alpha=params.alpha,
            lora_dropout=params.dropout,
            target_modules=list(params.targets),
            rank_pattern=pattern,
            alpha_pattern={name: ratio * rank for name, rank in pattern.items()},
            fan_in_fan_out=stores_transposed(module),
        )
        adapted = wrap_with_peft(module, config, seeds)
        add_in_place(adapted.module)
        return adapted


@hookimpl
def register_adapters() -> list[AdapterSpec]:
    return [
        AdapterSpec(
            name="lora",
            summary="Low-rank updates of chosen modules (arXiv 2106.09685), through peft.",
            build=LoRA,
            params=Params,
            low_rank=True,
            libraries=("peft",),
            backbones={"language_model": {}, "unet": {"targets": ("to_q", "to_k", "to_v", "to_out.0")}},
        )
    ]
