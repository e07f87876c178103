"""FLoRA: the clients' factors are stacked, folded into the backbone, and training begins anew."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fedgen_bench import (
    ClientContext,
    Fit,
    FitReport,
    Model,
    NoParams,
    Payload,
    RoundContext,
    ServerContext,
    StrategySpec,
    Tensors,
    Update,
    hookimpl,
    stacked,
)

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class State:
    """Initial factors, whose B is 0, and every round's stack."""

    start: Tensors
    merges: tuple[Tensors, ...]


class FLoRA:
    """FLoRA (arXiv 2409.05976): W0 <- W0 + B A with A = [A_1; ...; A_K], B = [p_1 s B_1, ..., p_K s B_K].

    B A = sum_k p_k s B_k A_k: the average is exact, whatever the clients' ranks. Clients begin every round with B = 0
    and an A of their own noise, so nothing but stacks is sent down: to everybody those that it missed.
    """

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def init(self, start: Tensors, ctx: ServerContext) -> State:
        return State(start, ())

    def send(self, state: State, ctx: ClientContext) -> Payload:
        return Payload({}, reply=ctx.start, merges=state.merges)

    def client(self, payload: Payload, ctx: ClientContext) -> Generator[Fit, FitReport, Update]:
        fit = yield Fit(start=_fresh(ctx), merges=payload.merges)
        return Update(fit.tensors, fit.n_examples)

    def aggregate(self, state: State, updates: Iterable[Update], ctx: RoundContext) -> State:
        return replace(state, merges=(*state.merges, stacked(list(updates), ctx.low_rank)))

    def export(self, state: State, ctx: ClientContext | None) -> Model:
        return Model(state.start, state.merges)


def _fresh(ctx: ClientContext) -> dict[str, torch.Tensor]:
    """B = 0 and A uniform within 1 / sqrt(n_in), as LoRA begins (Kaiming with a = sqrt(5))."""
    import torch

    generator, fresh = ctx.generator(), {}
    for pair in ctx.low_rank:
        a, b = ctx.start[pair.a], ctx.start[pair.b]
        fresh[pair.a] = (2 * torch.rand(a.shape, generator=generator) - 1) / a.shape[1] ** 0.5
        fresh[pair.b] = torch.zeros_like(b)
    return fresh


@hookimpl
def register_strategies() -> list[StrategySpec]:
    summary = "Clients' LoRA factors are stacked and folded into the backbone, exactly (arXiv 2409.05976)."
    return [
        StrategySpec(
            name="flora",
            summary=summary,
            build=FLoRA,
            low_rank=True,
            mixed_rank=True,
            changes_backbone=True,
            exact=True,
        )
    ]
