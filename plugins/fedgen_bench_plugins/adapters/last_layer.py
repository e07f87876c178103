"""Last-layer tuning: the top of a decoder is trained, what is below it is a fixed feature extractor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedgen_bench import Adapted, AdapterSpec, SeedTree, hookimpl, is_language_model
from fedgen_bench_plugins.adapters.selection import is_norm, parameters_within, train_only

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Params:
    """What the top is.

    Args:
        n_blocks: the last so many transformer blocks; 0 for none.
        head: the output head as well. One that is tied to the embedding is untied first: the embedding stays.
    """

    n_blocks: int = 1
    head: bool = False

    def __post_init__(self) -> None:
        if self.n_blocks < 0:
            raise ValueError(f"n_blocks must be at least 0, got {self.n_blocks}.")


class LastLayer:
    """The last `n_blocks` blocks and the final norm after them; with `head`, the output head too."""

    def __init__(self, params: Params) -> None:
        self.params = params

    def attach(self, module: nn.Module, seeds: SeedTree) -> Adapted:
        """Initial values are the backbone's own.

        Raises ValueError when it is no language model, has fewer blocks, or nothing to train.
        """
        if not is_language_model(module):
            raise ValueError("last_layer knows the blocks of language models alone. Choose another adapter.")
        blocks, wanted = _blocks(module), self.params.n_blocks
        if wanted > len(blocks):
            raise ValueError(f"n_blocks is {wanted}, this backbone has {len(blocks)} blocks. Lower n_blocks.")
        top = blocks[len(blocks) - wanted :] + _final_norm(module, blocks)
        if self.params.head:
            top.append(_own_head(module))
        return train_only(module, parameters_within(module, top), "final norm")


def _blocks(module: nn.Module) -> list[str]:
    """Names of a decoder's blocks, first to last: the entries of its outermost module list. Empty without one."""
    from torch import nn

    for name, layer in module.named_modules():
        if isinstance(layer, nn.ModuleList):
            return [f"{name}.{i}" for i in range(len(layer))]
    return []


def _final_norm(module: nn.Module, blocks: list[str]) -> list[str]:
    """The last norm beside the list of blocks; decoders without one exist."""
    if not blocks:
        return []
    beside = blocks[0].rsplit(".", 2)[0]
    norms = [f"{beside}.{name}" for name, layer in module.get_submodule(beside).named_children() if is_norm(layer)]
    return norms[-1:]


def _own_head(module: nn.Module) -> str:
    """Name of the output head, whose weight is now no other module's. Raises ValueError when there is no head."""
    from torch import nn

    head = module.get_output_embeddings()  # type: ignore[operator]
    if head is None:
        raise ValueError("This backbone has no output head. Leave out `head`.")
    if head.weight is module.get_input_embeddings().weight:  # type: ignore[operator]
        head.weight = nn.Parameter(head.weight.detach().clone())
    names: dict[nn.Module, str] = {layer: name for name, layer in module.named_modules()}
    return names[head]


@hookimpl
def register_adapters() -> list[AdapterSpec]:
    summary = "The last transformer blocks and the final norm, the output head if wanted."
    return [AdapterSpec(name="last_layer", summary=summary, build=LastLayer, params=Params)]
