"""What a plugin says of a backbone: where its files are, how it was trained, and a small one of its kind for checks."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from fedgen_bench.contract.data import Examples, Tensors

if TYPE_CHECKING:
    import torch
    from torch import nn

Say: TypeAlias = Callable[[str], None]
Pretrain: TypeAlias = Callable[[Path, Path, Path, Say], Path]


@dataclass(frozen=True, kw_only=True)
class Ground:
    """A small backbone that adapters are checked on; just enough of a task for the trainer.

    Args:
        load: the backbone, in evaluation mode; always the same one.
        inputs: a batch of a few examples, always the same; each tensor has the example as its first dimension.
        outputs: what the backbone computes of a batch.
        loss: mean over a batch; the generator is for noise.
    """

    load: Callable[[], nn.Module]
    inputs: Callable[[], Tensors]
    outputs: Callable[[nn.Module, Tensors], torch.Tensor]
    loss: Callable[[nn.Module, Tensors, torch.Generator], torch.Tensor]

    def backbone(self) -> nn.Module:
        """A private copy."""
        return copy.deepcopy(self.load())

    def examples(self) -> Examples:
        """The batch as a client's data."""
        inputs = self.inputs()
        return Examples(inputs, min(len(one) for one in inputs.values()))


@dataclass(frozen=True, kw_only=True)
class BackboneSpec:
    """A network that was trained before any run: what adapters sit on, or what measures for a metric.

    Args:
        name: what suites call it.
        summary: one line for `fedgen-bench list`.
        kind: of backbone, as adapters name it (`AdapterSpec.backbones`); another word for a network that carries none.
        folder: its folder, which is made first if need be, from what `find` gives of every data set of `made_from`, in
            their order. Raises DataError when that cannot be done.
        recipe: the file by which it was trained; None when there is none to follow again.
        pretrain: `pretrain(recipe, data, work, say)` follows or resumes a recipe with data below the folder `data`,
            keeps checkpoints below `work`, tells `say` how far it is, and returns the folder with the result. Raises
            UsageError for a recipe that cannot be used, DataError for data that are missing or not the recipe's.
        made_from: data sets by name that its folder is made from.
        ground: a small backbone of this kind, on which the contract checks put the adapters that fit the kind.

    Raises:
        ValueError: it has a recipe and nothing that follows it.
    """

    name: str
    summary: str
    kind: str
    folder: Callable[..., Path]
    recipe: Path | None = None
    pretrain: Pretrain | None = None
    made_from: tuple[str, ...] = ()
    ground: Ground | None = None

    def __post_init__(self) -> None:
        if self.recipe is not None and self.pretrain is None:
            raise ValueError(f"Backbone `{self.name}` has a recipe and no `pretrain`, which follows it.")
