"""How far a round's clients pull apart: statistics of their changes, gathered while the updates stream by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from fedgen_bench.federation.changes import Changes


class Drift:
    """Gathers changes d_k = sent - received, over the floating-point tensors that both have in one shape.

    LoRA factors of clients with lower ranks count as padded with zeros, as they are trained.

    Memory is two models, whatever the number of clients. Local drift is what FedProx (arXiv 1812.06127) and SCAFFOLD
    (arXiv 1910.06378) bound; dispersion relative to the mean change is the former's dissimilarity of gradients.
    """

    def __init__(self) -> None:
        self._weighted: dict[str, torch.Tensor] = {}  # sum n_k d_k
        self._directions: dict[str, torch.Tensor] = {}  # sum d_k / |d_k|
        self._n_examples = 0.0
        self._squares = 0.0  # sum n_k |d_k|^2
        self._n_moved = 0
        self._n_updates = 0

    def add(self, changes: Changes, n_examples: int) -> None:
        """One admitted update."""
        if not changes.pairs:
            return
        norm = changes.norm
        self._n_examples += n_examples
        self._squares += n_examples * norm**2
        self._n_updates += 1
        sums: list[tuple[dict[str, torch.Tensor], float]] = [(self._weighted, n_examples)]
        if norm > 0:
            sums.append((self._directions, 1 / norm))
            self._n_moved += 1
        if changes.small is not None:
            for those, factor in sums:
                rooms = [_room(those, name, change) for name, change in changes.small.items()]
                torch._foreach_add_(rooms, list(changes.small.values()), alpha=factor)
            return
        for name, (tensor, _) in changes.pairs.items():
            targets = [_room(those, name, tensor) for those, _ in sums]
            for change, parts in changes.in_blocks(name, *targets):
                for part, (_, factor) in zip(parts, sums, strict=True):
                    part.add_(change, alpha=factor)

    def summary(self) -> dict[str, float]:
        """Figures of the round, p_k = n_k / sum n, mean = sum p_k d_k; nothing below two updates.

        `mean_change_norm` is |mean|, `dispersion` sqrt(sum p_k |d_k - mean|^2), `cosine_to_mean` the plain mean over
        clients of the cosine between d_k and the mean, left out where nothing moved.
        """
        if self._n_updates < 2:  # noqa: PLR2004 - one client does not disperse
            return {}
        square = math.fsum(float((one * one).sum()) for one in self._weighted.values()) / self._n_examples**2
        figures = {
            "mean_change_norm": math.sqrt(square),
            "dispersion": math.sqrt(max(0.0, self._squares / self._n_examples - square)),
        }
        if self._n_moved and square > 0:
            sums = self._weighted
            products = [float((_within(one, sums[k].shape) * sums[k]).sum()) for k, one in self._directions.items()]
            cosines = math.fsum(products) / self._n_examples / math.sqrt(square)
            figures["cosine_to_mean"] = cosines / self._n_moved
        return figures


def _room(sums: dict[str, torch.Tensor], name: str, like: torch.Tensor) -> torch.Tensor:
    """Where to add what is shaped like a tensor: the leading corner of its sum, which grows where it is smaller."""
    known = sums.get(name)
    if known is None:
        known = sums[name] = torch.zeros(like.shape, device=like.device)
    if known.shape == like.shape:
        return known
    whole = sums[name] = _within(known, tuple(map(max, known.shape, like.shape)))
    return whole[tuple(slice(size) for size in like.shape)]


def _within(tensor: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """The tensor in the leading corner of zeros, where it is smaller."""
    if tensor.shape == tuple(shape):
        return tensor
    whole = tensor.new_zeros(shape)
    whole[tuple(slice(size) for size in tensor.shape)] = tensor
    return whole
