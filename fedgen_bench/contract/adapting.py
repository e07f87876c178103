"""For authors of adapters: what `attach` returns, and peft from a named stream. Imports peft only when used."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.errors import PluginError
from fedgen_bench.contract.contexts import LowRank
from fedgen_bench.contract.seeds import SeedTree, seeded_globals
from fedgen_bench.contract.untrained import Untrained

if TYPE_CHECKING:
    from torch import nn

    from fedgen_bench.contract.data import Tensors

_MATRIX = 2


class FoldableBackbone:
    """Frozen weights that low-rank updates can be folded into; the original ones are kept beside.

    Args:
        layers: by module name, the layer whose `weight` has the module's frozen values.
    """

    def __init__(self, layers: Mapping[str, nn.Module]) -> None:
        self._layers: dict[str, Any] = dict(layers)
        self._original: dict[str, Any] = {name: layer.weight for name, layer in layers.items()}
        self._folded: tuple[Tensors, ...] = ()

    def fold(self, merges: Sequence[Tensors], low_rank: Sequence[LowRank]) -> None:
        """Make every weight W0 + sum of B A, added in order; what is folded in already is not computed again."""
        import torch

        if len(merges) < len(self._folded) or not all(map(equal_merges, self._folded, merges)):
            for name, layer in self._layers.items():
                layer.weight = self._original[name]
            self._folded = ()
        with torch.no_grad():
            for merge in merges[len(self._folded) :]:
                for pair in low_rank:
                    if pair.a in merge:
                        self._add(pair.module, merge[pair.b], merge[pair.a])
        self._folded = tuple(merges)

    def _add(self, module: str, b: Any, a: Any) -> None:
        import torch
        from torch import nn

        layer, original = self._layers[module], self._original[module]
        if layer.weight is original:  # tied weights: only this module changes; sums are fp32, however W0 is stored
            whole = torch.promote_types(original.dtype, torch.float32)
            layer.weight = nn.Parameter(original.detach().to(whole, copy=True), requires_grad=False)
        update = b.to(original.device) @ a.to(original.device)
        layer.weight.add_(update.T if type(layer).__name__ == "Conv1D" else update)


def equal_merges(ours: Tensors, theirs: Tensors) -> bool:
    """Whether two updates of the backbone have the same tensors."""
    import torch

    return ours is theirs or (
        ours.keys() == theirs.keys() and all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())
    )


@dataclass(frozen=True)
class Adapted:
    """A module with an adapter on it.

    Args:
        module: the adapted backbone.
        trainable: the adapter's parameters by plain name.
        low_rank: the modules whose factors `trainable` holds; empty unless all of it are LoRA factors.
        client_ranks: rank of client 0, 1, ..., from the beginning again after the last; every rank as in `low_rank`
            when empty. A module's own rank is never exceeded.
        backbone: where updates are folded in; None when they cannot be.
        positions: of the backbone's positions, how many the adapter takes before the text.
    """

    module: nn.Module
    trainable: Mapping[str, nn.Parameter]
    low_rank: tuple[LowRank, ...] = ()
    client_ranks: tuple[int, ...] = ()
    backbone: FoldableBackbone | None = None
    positions: int = 0

    @cached_property
    def untrained(self) -> Untrained:
        """Everything in the module but `trainable`, as it is when this is asked for first."""
        return Untrained(self.module, self.trainable.values())

    def ranks_of(self, client_id: int) -> tuple[LowRank, ...]:
        """`low_rank` with one client's ranks."""
        if not self.client_ranks:
            return self.low_rank
        most = self.client_ranks[client_id % len(self.client_ranks)]
        return tuple(replace(pair, rank=min(pair.rank, most)) for pair in self.low_rank)

    def fold(self, merges: Sequence[Tensors]) -> None:
        """Make the backbone's weights W0 + sum of B A over the merges (see `messages.Fit`); none restores W0.

        Raises:
            PluginError: there are merges and this adapter cannot fold them.
        """
        if self.backbone is not None:
            self.backbone.fold(merges, self.low_rank)
        elif merges:
            raise PluginError(
                "This adapter cannot fold updates into the backbone. Use adapter `lora`, on weights not quantised."
            )


def factors_problem(adapted: Adapted) -> str:
    """Why an adapter is not of LoRA factors alone, as a sentence; empty when it is."""
    factors = {factor for pair in adapted.low_rank for factor in (pair.a, pair.b)}
    if stray := sorted(adapted.trainable.keys() ^ factors):
        return f"`{stray[0]}` is in only one of `trainable` and the factors of `low_rank` ({len(stray)} such names)"
    return "" if factors else "it trains no factors"


def is_language_model(module: nn.Module) -> bool:
    """Whether a module is a causal language model as transformers makes them, which peft wraps in a way of its own."""
    return hasattr(module, "prepare_inputs_for_generation")


def wrap_with_peft(module: nn.Module, config: Any, seeds: SeedTree) -> Adapted:
    """`peft.get_peft_model` with initial values from the `adapter` stream alone; the backbone is frozen.

    A `config` that names no task type gets that of the module: causal language model, or none for any other. Names lose
    peft's prefixes and adapter name, so they are the same in every version of it. Where all that is trained are LoRA
    factors of linear layers, these are listed in `low_rank` and take folded updates.
    """
    if config.task_type is None and is_language_model(module):
        config.task_type = "CAUSAL_LM"
    with seeded_globals(seeds.key("adapter")), warnings.catch_warnings():
        # An update of a tied head changes the head alone, on purpose; nothing is merged here.
        warnings.filterwarnings("ignore", message=".*tie_word_embeddings.*")
        warnings.filterwarnings(
            "ignore", message="fan_in_fan_out is set to True but the target module is `torch.nn.Linear`.*"
        )
        warnings.filterwarnings("ignore", category=FutureWarning, module="transformers.*")
        from peft import get_peft_model

        wrapped = get_peft_model(module, config)
    trainable = {_plain(name): parameter for name, parameter in wrapped.named_parameters() if parameter.requires_grad}
    layers = {_plain(name): layer for name, layer in wrapped.named_modules() if _has_factors(layer)}
    low_rank = tuple(
        LowRank(name, f"{name}.lora_A.weight", f"{name}.lora_B.weight", layer.r["default"], layer.scaling["default"])
        for name, layer in layers.items()
    )
    if not low_rank or trainable.keys() != {name for pair in low_rank for name in (pair.a, pair.b)}:
        return Adapted(wrapped, trainable)
    bases = {name: layer.get_base_layer() for name, layer in layers.items()}
    plain = all(base.weight.is_floating_point() for base in bases.values())  # quantised ones take no sum
    backbone = FoldableBackbone(bases) if plain else None
    return Adapted(wrapped, trainable, low_rank, backbone=backbone)


def _has_factors(layer: nn.Module) -> bool:
    """Whether a peft layer has A and B that are matrices; of a convolution they are not, of an embedding not linear."""
    factors: Any = getattr(layer, "lora_A", None)
    return bool(factors) and factors["default"].weight.ndim == _MATRIX


def _plain(name: str) -> str:
    return name.removeprefix("base_model.model.").replace(".default.", ".").removesuffix(".default")
