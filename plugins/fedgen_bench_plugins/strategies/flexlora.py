"""FlexLoRA: the mean update is split again by a singular value decomposition, to every client's rank."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedgen_bench import (
    ClientContext,
    NoParams,
    Payload,
    RoundContext,
    ServerContext,
    StrategySpec,
    Tensors,
    Update,
    hookimpl,
    stacked,
    train_received,
    truncated,
)

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class State:
    """The global factors, by falling singular value, and by module the share of the update's norm that rank r lost."""

    tensors: Tensors
    lost: Mapping[str, float]


class FlexLoRA:
    """FlexLoRA (arXiv 2402.11505): dW = sum_k p_k s B_k A_k = U S V^T; B = U_r S_r / s, A = V_r^T at the client's rank.

    What is decomposed is the small R x R core of the stacked factors (QR first), R = sum_k r_k: no m x n matrix is
    formed. A row of A has its largest entry positive, so signs do not depend on the library.
    """

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def init(self, start: Tensors, ctx: ServerContext) -> State:
        return State(start, {})

    def send(self, state: State, ctx: ClientContext) -> Payload:
        return Payload(truncated(state.tensors, ctx.low_rank))

    client = train_received

    def aggregate(self, state: State, updates: Iterable[Update], ctx: RoundContext) -> State:
        stack = stacked(list(updates), ctx.low_rank)
        tensors, lost = {}, {}
        for pair in ctx.low_rank:
            tensors[pair.a], b, lost[pair.module] = split(stack[pair.a], stack[pair.b], pair.rank)
            tensors[pair.b] = b / pair.scale
        return State(tensors, lost)

    def export(self, state: State, ctx: ClientContext | None) -> Tensors:
        return state.tensors if ctx is None else truncated(state.tensors, ctx.low_rank)


def split(a: torch.Tensor, b: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor, float]:
    """The best factors of B A with that rank, filled up with zeros, and the share of the norm that they miss.

    Args:
        a: shape (R, n_in).
        b: shape (n_out, R).
        rank: rows of the new A (rank, n_in) and columns of the new B (n_out, rank).
    """
    import torch

    q_b, r_b = torch.linalg.qr(b.double())
    q_a, r_a = torch.linalg.qr(a.double().T)
    u, s, vt = torch.linalg.svd(r_b @ r_a.T, full_matrices=False)
    kept = min(rank, len(s))
    new_a, new_b = vt[:kept] @ q_a.T, q_b @ (u[:, :kept] * s[:kept])
    largest = new_a.abs().argmax(dim=1, keepdim=True)
    sign = torch.where(new_a.gather(1, largest) < 0, -1.0, 1.0).double()
    whole_a, whole_b = a.new_zeros(rank, a.shape[1]), b.new_zeros(len(b), rank)
    whole_a[:kept] = (new_a * sign).to(a.dtype)
    whole_b[:, :kept] = (new_b * sign.T).to(b.dtype)
    norm = float(torch.linalg.vector_norm(s))
    return whole_a, whole_b, float(torch.linalg.vector_norm(s[kept:])) / norm if norm else 0.0


@hookimpl
def register_strategies() -> list[StrategySpec]:
    summary = "LoRA of mixed ranks: the mean update is split again by its SVD (arXiv 2402.11505)."
    return [StrategySpec(name="flexlora", summary=summary, build=FlexLoRA, low_rank=True, mixed_rank=True)]
