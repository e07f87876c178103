"""Models between two others, tensor by tensor."""

from __future__ import annotations

from fedgen_bench.contract.adapting import equal_merges
from fedgen_bench.contract.data import Tensors
from fedgen_bench.contract.messages import Fit, Model


def between(anchor: Tensors, own: Tensors, share: float) -> Tensors:
    """`anchor + share x (own - anchor)` of maps of one layout; of low-rank factors each by itself."""
    return {name: anchor[name].lerp(tensor, share) for name, tensor in own.items()}


def lies_apart(model: Model, own: Fit) -> str | None:
    """Why nothing lies between a model and what a client goes on from; None where something does."""
    if model.tensors.keys() != own.start.keys() or any(
        model.tensors[name].shape != tensor.shape for name, tensor in own.start.items()
    ):
        return "the client's tensors have other shapes than the global ones"
    if len(model.merges) != len(own.merges) or not all(map(equal_merges, model.merges, own.merges)):
        return "the client's backbone was updated otherwise than everybody's"
    return None
