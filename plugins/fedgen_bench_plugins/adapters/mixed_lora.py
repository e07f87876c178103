"""LoRA whose clients have ranks of their own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fedgen_bench import Adapted, AdapterSpec, SeedTree, hookimpl
from fedgen_bench_plugins.adapters.lora import LoRA
from fedgen_bench_plugins.adapters.lora import Params as LoRAParams

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Params:
    """Knobs of LoRA with ranks by client.

    Args:
        client_ranks: rank of client 0, 1, ..., from the beginning again after the last. The largest is the server's.
        scale: alpha / r, the same for every rank.
        targets: roles or endings of module names, as in `lora`.
    """

    client_ranks: tuple[int, ...] = (2, 4, 8)
    scale: float = 2.0
    targets: tuple[str, ...] = ("queries", "values")

    def __post_init__(self) -> None:
        if not self.client_ranks:
            raise ValueError("client_ranks needs at least one rank.")
        self.lora()

    def lora(self) -> LoRAParams:
        """The server's adapter. Raises ValueError for what `lora` refuses."""
        largest = max(self.client_ranks)
        if min(self.client_ranks) < 1:
            raise ValueError("LoRA ranks must be at least 1.")
        return LoRAParams(rank=largest, alpha=self.scale * largest, targets=self.targets)


class MixedLoRA:
    """LoRA (arXiv 2106.09685) at the largest rank; client k trains and sends the first client_ranks[k] ranks of it."""

    def __init__(self, params: Params) -> None:
        self.params = params

    def attach(self, module: nn.Module, seeds: SeedTree) -> Adapted:
        """Raises ValueError when a target means no module, or one that is not linear."""
        adapted = LoRA(self.params.lora()).attach(module, seeds)
        return replace(adapted, client_ranks=self.params.client_ranks)


@hookimpl
def register_adapters() -> list[AdapterSpec]:
    summary = "LoRA whose clients have ranks of their own, for strategies that mix ranks."
    return [
        AdapterSpec(
            name="mixed_lora",
            summary=summary,
            build=MixedLoRA,
            params=Params,
            low_rank=True,
            mixes_ranks=True,
            backbones={"language_model": {}, "unet": {}},
        )
    ]
