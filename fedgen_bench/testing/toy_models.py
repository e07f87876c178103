"""The toy world's model with its numbers in several tensors: two parts, or LoRA factors of two modules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fedgen_bench.contract.adapting import Adapted, FoldableBackbone
from fedgen_bench.contract.contexts import LowRank
from fedgen_bench.contract.data import Tensors
from fedgen_bench.contract.messages import Model
from fedgen_bench.testing import toy

if TYPE_CHECKING:
    import torch

LOW_RANK = (
    LowRank("first", "first.lora_A.weight", "first.lora_B.weight", 2, 1.5),
    LowRank("second", "second.lora_A.weight", "second.lora_B.weight", 2, 0.5),
)


def split_module(left: Sequence[float] = (0.0, 0.0), right: Sequence[float] = (0.0,)) -> Adapted:
    """The toy model with its three numbers in two tensors, so that names, shapes and orders matter."""
    import torch

    class Split(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left = torch.nn.Parameter(torch.tensor(left))
            self.right = torch.nn.Parameter(torch.tensor(right).reshape(1, 1))

        @property
        def weight(self) -> torch.Tensor:
            return torch.cat([self.left, self.right.flatten()])

    module = Split().eval()
    return Adapted(module, {"left": module.left, "right": module.right})


def low_rank_module(client_ranks: Sequence[int] = ()) -> Adapted:
    """The toy model as weight = sum over two modules of (W0 + scale * B A) u, with LoRA factors of rank 2.

    W0 has shapes (3, 4) and (3, 3), u is a fixed input; A is random, B is 0.
    """
    import torch

    generator = torch.Generator().manual_seed(7)

    class Layer(torch.nn.Module):
        u: torch.Tensor

        def __init__(self, pair: LowRank, n_in: int) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.randn(toy.WIDTH, n_in, generator=generator), requires_grad=False)
            self.a = torch.nn.Parameter(0.5 * torch.randn(pair.rank, n_in, generator=generator))
            self.b = torch.nn.Parameter(torch.zeros(toy.WIDTH, pair.rank))
            self.scale = pair.scale
            self.register_buffer("u", torch.linspace(0.2, 0.5, n_in))

        def output(self) -> torch.Tensor:
            return self.weight @ self.u + self.scale * self.b @ (self.a @ self.u)

    layers = {pair.module: Layer(pair, n_in) for pair, n_in in zip(LOW_RANK, (4, 3), strict=True)}

    class Sum(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.ModuleDict(layers)

        @property
        def weight(self) -> torch.Tensor:
            return torch.stack([layer.output() for layer in layers.values()]).sum(dim=0)

    trainable = {
        name: factor
        for pair in LOW_RANK
        for name, factor in ((pair.a, layers[pair.module].a), (pair.b, layers[pair.module].b))
    }
    return Adapted(Sum().eval(), trainable, LOW_RANK, tuple(client_ranks), FoldableBackbone(layers))


def function_of(adapted: Adapted, model: Model | Tensors) -> torch.Tensor:
    """The toy weight of shape (3,) that a model gives, whatever its factors are."""
    import torch

    from fedgen_bench.federation.parameters import load_tensors

    whole = model if isinstance(model, Model) else Model(model)
    adapted.fold(whole.merges)
    load_tensors(adapted.trainable, whole.tensors, adapted.low_rank)
    module: Any = adapted.module
    with torch.no_grad():
        weight: torch.Tensor = module.weight.clone()
    return weight
