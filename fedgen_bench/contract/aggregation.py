"""Sums over clients, streamed in the order given, accumulated in fp32. Imports torch only when used."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from fedgen_bench.contract.data import Tensors
    from fedgen_bench.contract.messages import Update


def weighted_mean(updates: Iterable[Update]) -> dict[str, torch.Tensor]:
    """Example-weighted mean of the updates' tensors, sum_k p_k y_k with p_k = n_k / sum n (FedAvg, arXiv 1602.05629).

    A running mean, one `lerp` a tensor and client: memory O(model), and one client or identical clients give back
    their own tensors to the bit. Tensors narrower than fp32 are accumulated in fp32, wider ones in fp64, and returned
    in their own dtype. Integers and booleans have no mean that is one: all clients must agree on them.

    Raises:
        ValueError: no update arrived; clients differ in a tensor that is not of floating point.
    """
    mean: dict[str, torch.Tensor] = {}
    dtypes: dict[str, torch.dtype] = {}
    n_seen = 0
    for update in updates:
        n_seen += update.n_examples
        if not mean:
            dtypes = {name: tensor.dtype for name, tensor in update.tensors.items()}
            mean = {name: _wide(tensor).clone() for name, tensor in update.tensors.items()}
        else:
            _follow(mean, update.tensors, update.n_examples / n_seen)
        del update  # so that its memory is free while the next is trained
    if not dtypes and n_seen == 0:
        raise ValueError("weighted_mean needs at least one update.")
    return {name: tensor.to(dtypes[name]) for name, tensor in mean.items()}


def _follow(mean: dict[str, torch.Tensor], tensors: Tensors, share: float) -> None:
    import torch

    moving = [name for name, tensor in tensors.items() if tensor.is_floating_point()]
    if moving:
        torch._foreach_lerp_([mean[name] for name in moving], [_wide(tensors[name]) for name in moving], share)
    for name in tensors.keys() - set(moving):
        if not tensors[name].equal(mean[name]):  # still the first client's
            dtype = mean[name].dtype
            raise ValueError(f"Clients differ in `{name}`, whose dtype {dtype} has no mean. Send it as floating point.")


def _wide(tensor: torch.Tensor) -> torch.Tensor:
    if not tensor.is_floating_point():
        return tensor
    return tensor.double() if tensor.dtype.itemsize > 4 else tensor.float()  # noqa: PLR2004 - bytes of fp32
