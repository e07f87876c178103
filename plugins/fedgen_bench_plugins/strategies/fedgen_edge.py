"""FedGen-Edge: federate the adapters, and let every client keep its own."""

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
    send_tensors,
    weighted_mean,
)


@dataclass(frozen=True)
class State:
    """The global adapter."""

    tensors: Tensors


class FedGenEdge:
    """FedGen-Edge (arXiv 2511.11585): A <- sum_k p_k A_k, B <- sum_k p_k B_k; client k keeps its (A_k, B_k).

    The kept adapter is the client's private state: it is what `export` gives for that client and never counts as
    uplink. A client that was never asked has the global adapter.
    """

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def init(self, start: Tensors, ctx: ServerContext) -> State:
        return State(start)

    send = send_tensors

    def client(self, payload: Payload, ctx: ClientContext) -> Generator[Fit, FitReport, Update]:
        fit = yield Fit(start=payload.tensors)
        return Update(fit.tensors, fit.n_examples, keep=fit.tensors)

    def aggregate(self, state: State, updates: Iterable[Update], ctx: RoundContext) -> State:
        return State(weighted_mean(updates))

    def export(self, state: State, ctx: ClientContext | None) -> Tensors:
        return ctx.keep if ctx is not None and ctx.keep else state.tensors


@hookimpl
def register_strategies() -> list[StrategySpec]:
    summary = "FedAvg over adapters; every client keeps its locally tuned one (arXiv 2511.11585)."
    return [StrategySpec(name="fedgen_edge", summary=summary, build=FedGenEdge, stateful=True, averages=True)]
