"""HetLoRA: LoRA of mixed ranks, zero-padded and averaged with weights that favour large updates."""

from __future__ import annotations

from collections.abc import Iterable
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
    padded,
    product_norm,
    train_received,
    truncated,
)

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class State:
    """The global factors at the adapter's rank."""

    tensors: Tensors


class HetLoRA:
    """HetLoRA (arXiv 2401.06432): A <- sum_k w_k A_k, B <- sum_k w_k B_k, w_k = ||B_k A_k|| / sum_j ||B_j A_j||.

    Factors are zero-padded to the largest rank, weighted module by module, and truncated to the client's rank when they
    are sent. Clients' ranks stay as the adapter gives them (the paper also prunes them locally).
    """

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def init(self, start: Tensors, ctx: ServerContext) -> State:
        return State(start)

    def send(self, state: State, ctx: ClientContext) -> Payload:
        return Payload(truncated(state.tensors, ctx.low_rank))

    client = train_received

    def aggregate(self, state: State, updates: Iterable[Update], ctx: RoundContext) -> State:
        received = [padded(update.tensors, ctx.low_rank) for update in updates]
        mean: dict[str, torch.Tensor] = {}
        for pair in ctx.low_rank:
            norms = [product_norm(factors[pair.a], factors[pair.b]) for factors in received]
            total = sum(norms)
            weights = [norm / total if total else 1 / len(norms) for norm in norms]
            for name in (pair.a, pair.b):
                mean[name] = sum(
                    (factors[name] * weight for factors, weight in zip(received, weights, strict=True)),
                    start=received[0][name].new_zeros(()),
                )
        return State(mean)

    def export(self, state: State, ctx: ClientContext | None) -> Tensors:
        return state.tensors if ctx is None else truncated(state.tensors, ctx.low_rank)


@hookimpl
def register_strategies() -> list[StrategySpec]:
    summary = "LoRA of mixed ranks: zero-padding, weights by the norm of B A (arXiv 2401.06432)."
    return [StrategySpec(name="hetlora", summary=summary, build=HetLoRA, low_rank=True, mixed_rank=True)]
