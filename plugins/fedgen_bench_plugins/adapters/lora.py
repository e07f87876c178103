"""LoRA through peft, with ranks by module and an output head that may be tied to the embedding."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fedgen_bench import Adapted, AdapterSpec, SeedTree, hookimpl, wrap_with_peft
from fedgen_bench_plugins.adapters.roles import ROLES, is_linear
from fedgen_bench_plugins.adapters.targets import rank_patterns, resolve, stores_transposed

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Params:
    """LoRA's knobs.

    Args:
        rank: r of every target that `ranks` does not name.
        alpha: the update is (alpha / r) B A; with `ranks`, every module keeps the ratio alpha / rank.
        dropout: on the input of A.
        targets: linear layers by role (`attention`, `mlp`, `all`, `head` and their parts, as `roles` resolves them for
            the backbone), or by the ending of a module's name, for instance `c_attn` (GPT-2) or `to_out.0` (a U-Net).
        ranks: rank by role or by ending of a module's name, over `rank`.
    """

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    targets: tuple[str, ...] = ("queries", "values")
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
        by_name = ROLES.keys().isdisjoint(self.targets)
        if by_name and (stray := self.ranks.keys() - {*self.targets, *ROLES}):
            raise ValueError(f"ranks names `{min(stray)}`, which is not among the targets.")


class LoRA:
    """LoRA (arXiv 2106.09685): W0 x + (alpha / r) B A x with B = 0 at the start and A from the `adapter` stream.

    An update of a tied output head changes the head alone: the embedding stays the backbone's.
    """

    def __init__(self, params: Params) -> None:
        self.params = params

    def attach(self, module: nn.Module, seeds: SeedTree) -> Adapted:
        """Raises ValueError when a target means no module, or one that is not linear, or a rank none of the targets."""
        from peft import LoraConfig

        from fedgen_bench_plugins.adapters.lora_layer import add_in_place

        params = self.params
        targets = resolve(module, params.targets, is_linear)
        ratio = params.alpha / params.rank
        pattern = rank_patterns(module, params.ranks, targets)
        config = LoraConfig(
            r=params.rank,
            lora_alpha=params.alpha,
            lora_dropout=params.dropout,
            target_modules=targets,
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
            backbones={"language_model": {}, "unet": {"targets": ("attention",)}},
        )
    ]
