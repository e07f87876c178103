"""FedGen-Edge whose clients use a mixture of the global adapter and the one that they kept."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass

from fedgen_bench import (
    ClientContext,
    Fit,
    FitReport,
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
class Params:
    """share: how much of a client's model is its kept adapter; 1 is FedGen-Edge, 0 is FedAvg."""

    share: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"share must be from 0 to 1, got {self.share}.")


@dataclass(frozen=True)
class State:
    """The global adapter."""

    tensors: Tensors


class FedGenEdgeInterpolated:
    """FedGen-Edge (arXiv 2511.11585) with client k's model w + share (v_k - w): w the global adapter, v_k the kept one.

    A mixture of a global and a local model, as in APFL (arXiv 2003.13461) and arXiv 2002.05516, with one share for
    everybody that is not learnt. What is mixed are tensors. For LoRA that is not the mixture of the updates: with
    D = v_k - w the product is

        (1 - share) B_w A_w + share B_k A_k - share (1 - share) D_B D_A.

    v_k was trained from a w, so the last term is of second order in what that changed. The mixture of the updates
    themselves would have twice the adapter's rank.
    """

    def __init__(self, params: Params) -> None:
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
        if ctx is None or not ctx.keep:
            return state.tensors
        return {name: w.lerp(ctx.keep[name], self.params.share) for name, w in state.tensors.items()}


@hookimpl
def register_strategies() -> list[StrategySpec]:
    return [
        StrategySpec(
            name="fedgen_edge_interpolated",
            summary="FedGen-Edge, a client's model lies between the global adapter and its own (arXiv 2002.05516).",
            build=FedGenEdgeInterpolated,
            params=Params,
            stateful=True,
            averages=True,
            reduces_to={"fedavg": {"share": 0.0}, "fedgen_edge": {"share": 1.0}},
        )
    ]
