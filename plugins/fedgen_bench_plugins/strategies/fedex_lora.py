"""FedEx-LoRA: averaged factors, and what their product misses is folded into the backbone."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass, replace

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
    weighted_mean,
)


@dataclass(frozen=True)
class State:
    """The global factors and every round's residual."""

    tensors: Tensors
    merges: tuple[Tensors, ...]


class FedExLoRA:
    """FedEx-LoRA (arXiv 2410.09432): A <- Abar, B <- Bbar, W0 <- W0 + s (sum_k p_k B_k A_k - Bbar Abar).

    The residual is sum_k p_k s (B_k - Bbar) A_k and travels as these factors, of rank sum_k r_k, in fp32.
    """

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def init(self, start: Tensors, ctx: ServerContext) -> State:
        return State(start, ())

    def send(self, state: State, ctx: ClientContext) -> Payload:
        return Payload(state.tensors, merges=state.merges)

    def client(self, payload: Payload, ctx: ClientContext) -> Generator[Fit, FitReport, Update]:
        fit = yield Fit(start=payload.tensors, merges=payload.merges)
        return Update(fit.tensors, fit.n_examples)

    def aggregate(self, state: State, updates: Iterable[Update], ctx: RoundContext) -> State:
        received = list(updates)
        mean = weighted_mean(received)
        apart = [
            replace(update, tensors={**update.tensors, **{p.b: update.tensors[p.b] - mean[p.b] for p in ctx.low_rank}})
            for update in received
        ]
        return State(mean, (*state.merges, stacked(apart, ctx.low_rank)))

    def export(self, state: State, ctx: ClientContext | None) -> Model:
        return Model(state.tensors, state.merges)


@hookimpl
def register_strategies() -> list[StrategySpec]:
    summary = "FedAvg of LoRA factors whose error is folded into the backbone: exact (arXiv 2410.09432)."
    return [
        StrategySpec(
            name="fedex_lora", summary=summary, build=FedExLoRA, low_rank=True, changes_backbone=True, exact=True
        )
    ]
