"""Sparse updates: the largest entries with their places."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fedgen_bench import CompressorSpec, Tensors, hookimpl

_VALUES, _INDEX = "#values", "#index"


@dataclass(frozen=True)
class Params:
    """fraction: of each tensor's entries that are sent. error_feedback: the client adds the rest to its next change."""

    fraction: float = 0.1
    error_feedback: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1:
            raise ValueError(f"fraction must be above 0 and at most 1, got {self.fraction}.")


class TopK:
    """Top-k sparsification (arXiv 1704.05021), with error feedback (arXiv 1901.09847).

    Of every floating-point tensor the k = ceil(fraction * numel) entries of largest magnitude are sent, in their own
    dtype, with their places as int32. A dense fp32 tensor is smaller than that when the fraction is above one half.
    """

    def __init__(self, params: Params) -> None:
        self.params = params
        self.error_feedback = params.error_feedback

    def compress(self, tensors: Tensors) -> Tensors:
        import torch

        packed = {}
        for name, tensor in tensors.items():
            if not tensor.is_floating_point():
                packed[name] = tensor
                continue
            flat = tensor.reshape(-1)
            k = math.ceil(self.params.fraction * flat.numel())
            index = flat.abs().topk(k, sorted=False).indices.sort().values
            packed[name + _VALUES] = flat[index]
            packed[name + _INDEX] = index.to(torch.int32)
        return packed

    def decompress(self, tensors: Tensors, like: Tensors) -> Tensors:
        """Raises ValueError for places that a tensor does not have or that come twice."""
        dense = {}
        for name, wanted in like.items():
            if name + _INDEX not in tensors:
                dense[name] = tensors[name]
                continue
            index = tensors[name + _INDEX].long()
            if index.numel() and (int(index[0]) < 0 or int(index[-1]) >= wanted.numel() or (index.diff() <= 0).any()):
                raise ValueError(f"the places of `{name}` do not rise within its {wanted.numel()} entries")
            flat = wanted.new_zeros(wanted.numel())
            flat[index] = tensors[name + _VALUES].to(wanted.dtype)
            dense[name] = flat.reshape(wanted.shape)
        return dense


@hookimpl
def register_compressors() -> list[CompressorSpec]:
    summary = "The largest entries and their places; the rest is fed back (arXiv 1704.05021)."
    return [CompressorSpec(name="topk", summary=summary, build=TopK, params=Params)]
