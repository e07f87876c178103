"""FedSA-LoRA: A is shared, every client keeps its own B."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass

from fedgen_bench import (
    ClientContext,
    Fit,
    FitReport,
    NoParams,
    Payload,
    RoundContext,
    ServerContext,
    StrategySpec,
    Tensors,
    Update,
    hookimpl,
    weighted_mean,
)


@dataclass(frozen=True)
class State:
    """The global A of every module, and the initial B of a client that was never asked."""

    tensors: Tensors


class FedSALoRA:
    """FedSA-LoRA (arXiv 2410.01463): clients train A_k and B_k; A <- sum_k p_k A_k, B_k stays at client k.

    B_k is private state. There is no global model: a client's model is (A, B_k), one that was never asked has B_k = 0.
    """

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def init(self, start: Tensors, ctx: ServerContext) -> State:
        return State(start)

    def send(self, state: State, ctx: ClientContext) -> Payload:
        return Payload({pair.a: state.tensors[pair.a] for pair in ctx.low_rank})

    def client(self, payload: Payload, ctx: ClientContext) -> Generator[Fit, FitReport, Update]:
        fit = yield Fit(start={**ctx.start, **ctx.keep, **payload.tensors})
        own = {pair.b: fit.tensors[pair.b] for pair in ctx.low_rank}
        return Update({name: fit.tensors[name] for name in payload.tensors}, fit.n_examples, keep=own)

    def aggregate(self, state: State, updates: Iterable[Update], ctx: RoundContext) -> State:
        return State({**state.tensors, **weighted_mean(updates)})

    def export(self, state: State, ctx: ClientContext | None) -> Tensors | None:
        return None if ctx is None else {**state.tensors, **ctx.keep}

    def personalize(self, state: State, ctx: ClientContext) -> Fit:
        """The shared A stays."""
        return Fit(start={**state.tensors, **ctx.keep}, trainable=frozenset(pair.b for pair in ctx.low_rank))


@hookimpl
def register_strategies() -> list[StrategySpec]:
    summary = "LoRA whose A is averaged while every client keeps its own B (arXiv 2410.01463)."
    return [
        StrategySpec(
            name="fedsa_lora",
            version="2",
            summary=summary,
            build=FedSALoRA,
            low_rank=True,
            stateful=True,
            averages=True,
            sends_from_keep=True,
        )
    ]
