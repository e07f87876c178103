"""Ditto: every client trains a model of its own that is held near the global one."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass

from fedgen_bench import (
    ClientContext,
    Fit,
    FitReport,
    Payload,
    Proximal,
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
    """lam: the paper's lambda, how strongly a personal model is held near the global one; 0 is training alone."""

    lam: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.lam < float("inf"):
            raise ValueError(f"lam must be a finite number of at least 0, got {self.lam}.")


@dataclass(frozen=True)
class State:
    """The global tensors."""

    tensors: Tensors


class Ditto:
    """Ditto (arXiv 2012.04221) over FedAvg: client k minimises F_k(v_k) + lambda/2 ||v_k - w||^2 beside its part in w.

    w is the model that it received in this round. Both fits take the whole step budget. v_k is the client's private
    state, starts from the first w that it received, and is never sent.
    """

    def __init__(self, params: Params) -> None:
        self.params = params

    def init(self, start: Tensors, ctx: ServerContext) -> State:
        return State(start)

    send = send_tensors

    def client(self, payload: Payload, ctx: ClientContext) -> Generator[Fit, FitReport, Update]:
        w = payload.tensors
        fit = yield Fit(start=w)
        own = yield Fit(start=ctx.keep or w, penalty=Proximal(self.params.lam, anchor=w))
        return Update(fit.tensors, fit.n_examples, keep=own.tensors)

    def aggregate(self, state: State, updates: Iterable[Update], ctx: RoundContext) -> State:
        return State(weighted_mean(updates))

    def export(self, state: State, ctx: ClientContext | None) -> Tensors:
        return ctx.keep if ctx is not None and ctx.keep else state.tensors

    def personalize(self, state: State, ctx: ClientContext) -> Fit:
        """v_k goes on under its pull to w."""
        return Fit(start=self.export(state, ctx), penalty=Proximal(self.params.lam, anchor=state.tensors))


@hookimpl
def register_strategies() -> list[StrategySpec]:
    return [
        StrategySpec(
            name="ditto",
            version="2",
            summary="FedAvg, and a personal model held near it; two fits a round (arXiv 2012.04221).",
            build=Ditto,
            params=Params,
            fits_per_round=2,
            stateful=True,
            averages=True,
            reduces_to={"fedavg": {}},
        )
    ]
