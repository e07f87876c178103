"""FFA-LoRA: every client has the same frozen A, only B is trained and travels."""

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
    export_tensors,
    hookimpl,
    weighted_mean,
)


@dataclass(frozen=True)
class State:
    """The global factors; A stays as it was."""

    tensors: Tensors


class FFALoRA:
    """FFA-LoRA (arXiv 2403.12313): A_k = A_0 for everybody, B <- sum_k p_k B_k.

    The mean of the products is the product of the mean, so the average is exact. A_0 is the adapter's initial value,
    which every client derives from the seed: it is never sent.
    """

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def init(self, start: Tensors, ctx: ServerContext) -> State:
        return State(start)

    def send(self, state: State, ctx: ClientContext) -> Payload:
        return Payload({pair.b: state.tensors[pair.b] for pair in ctx.low_rank})

    def client(self, payload: Payload, ctx: ClientContext) -> Generator[Fit, FitReport, Update]:
        fit = yield Fit(start={**ctx.start, **payload.tensors}, trainable=frozenset(payload.tensors))
        return Update({name: fit.tensors[name] for name in payload.tensors}, fit.n_examples)

    def aggregate(self, state: State, updates: Iterable[Update], ctx: RoundContext) -> State:
        return State({**state.tensors, **weighted_mean(updates)})

    export = export_tensors

    def personalize(self, state: State, ctx: ClientContext) -> Fit:
        """A stays A_0."""
        return Fit(start=state.tensors, trainable=frozenset(pair.b for pair in ctx.low_rank))


@hookimpl
def register_strategies() -> list[StrategySpec]:
    summary = "LoRA with A frozen and shared; only B is averaged, exactly (arXiv 2403.12313)."
    return [
        StrategySpec(
            name="ffa_lora", version="2", summary=summary, build=FFALoRA, low_rank=True, exact=True, averages=True
        )
    ]
