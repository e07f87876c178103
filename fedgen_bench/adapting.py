"""For authors of adapters: what `attach` returns, and peft from a named stream. Imports peft only when used."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fedgen_bench.seeds import SeedTree, seeded_globals

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Adapted:
    """A module with an adapter on it, and the adapter's trainable parameters by plain name."""

    module: nn.Module
    trainable: Mapping[str, nn.Parameter]


def wrap_with_peft(module: nn.Module, config: Any, seeds: SeedTree) -> Adapted:
    """`peft.get_peft_model` with initial values from the `adapter` stream alone; the backbone is frozen.

    Names lose peft's prefixes and adapter name, so they are the same in every version of it.
    """
    with seeded_globals(seeds.key("adapter")), warnings.catch_warnings():
        # An update of a tied head changes the head alone, on purpose; nothing is merged here.
        warnings.filterwarnings("ignore", message=".*tie_word_embeddings.*")
        warnings.filterwarnings(
            "ignore", message="fan_in_fan_out is set to True but the target module is `torch.nn.Linear`.*"
        )
        warnings.filterwarnings("ignore", category=FutureWarning, module="transformers.*")
        from peft import get_peft_model

        wrapped = get_peft_model(module, config)
    trainable = {
        name.removeprefix("base_model.model.").replace(".default.", ".").removesuffix(".default"): parameter
        for name, parameter in wrapped.named_parameters()
        if parameter.requires_grad
    }
    return Adapted(wrapped, trainable)
