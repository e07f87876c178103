"""For authors of methods on LoRA factors: ranks, products and sums of products. Tensors bring their own arithmetic.

A module's update is dW = scale * B A with A of shape (r, n_in) and B of shape (n_out, r); no m x n matrix is formed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from fedgen_bench.contract.contexts import LowRank
    from fedgen_bench.contract.data import Tensors
    from fedgen_bench.contract.messages import Update


def truncated(tensors: Tensors, low_rank: Sequence[LowRank]) -> dict[str, torch.Tensor]:
    """The first `rank` rows of A and columns of B of every module; everything else as it is."""
    cut = dict(tensors)
    for pair in low_rank:
        if pair.a in tensors and len(tensors[pair.a]) > pair.rank:
            cut[pair.a] = tensors[pair.a][: pair.rank].clone()
        if pair.b in tensors and tensors[pair.b].shape[1] > pair.rank:
            cut[pair.b] = tensors[pair.b][:, : pair.rank].clone()
    return cut


def padded(tensors: Tensors, low_rank: Sequence[LowRank]) -> dict[str, torch.Tensor]:
    """Factors filled up with zeros to `rank`: the same products."""
    whole = dict(tensors)
    for pair in low_rank:
        a, b = tensors[pair.a], tensors[pair.b]
        if len(a) < pair.rank:
            whole[pair.a] = a.new_zeros(pair.rank, a.shape[1])
            whole[pair.a][: len(a)] = a
            whole[pair.b] = b.new_zeros(len(b), pair.rank)
            whole[pair.b][:, : b.shape[1]] = b
    return whole


def product_norm(a: torch.Tensor, b: torch.Tensor) -> float:
    """Frobenius norm of B A, from the r x r matrices: ||B A||^2 = trace(A A^T B^T B); 0 for no negative rounding."""
    squared = float(((a.double() @ a.double().T) * (b.double().T @ b.double())).sum())
    return math.sqrt(max(squared, 0.0))


def stacked(updates: Sequence[Update], low_rank: Sequence[LowRank]) -> dict[str, torch.Tensor]:
    """Factors of sum_k p_k scale B_k A_k with p_k = n_k / sum n: A_k one below the other, p_k scale B_k side by side.

    Clients may have different ranks; the result's rank is their sum.

    Raises:
        ValueError: no update.
    """
    import torch

    if not updates:
        raise ValueError("stacked needs at least one update.")
    total = sum(update.n_examples for update in updates)
    factors = {}
    for pair in low_rank:
        factors[pair.a] = torch.cat([update.tensors[pair.a] for update in updates])
        weighted = [update.tensors[pair.b] * (pair.scale * update.n_examples / total) for update in updates]
        factors[pair.b] = torch.cat(weighted, dim=1)
    return factors
