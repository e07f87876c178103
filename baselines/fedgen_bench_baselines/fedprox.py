"""FedProx: FedAvg with a proximal term that holds clients near the model they received."""

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
    export_tensors,
    hookimpl,
    send_tensors,
    weighted_mean,
)


@dataclass(frozen=True)
class Params:
    """mu: weight of the proximal term; 0 is FedAvg to the bit."""

    mu: float = 0.01

    def __post_init__(self) -> None:
        if not 0 <= self.mu < float("inf"):
            raise ValueError(f"mu must be a finite number of at least 0, got {self.mu}.")


@dataclass(frozen=True)
class State:
    """The global tensors."""

    tensors: Tensors


class FedProx:
    """FedProx (arXiv 1812.06127): clients minimise F_k(y) + mu/2 ||y - x||^2, then x <- sum_k p_k y_k."""

    def __init__(self, params: Params) -> None:
        self.params = params

    def init(self, start: Tensors, ctx: ServerContext) -> State:
        return State(start)

    send = send_tensors

    def client(self, payload: Payload, ctx: ClientContext) -> Generator[Fit, FitReport, Update]:
        fit = yield Fit(start=payload.tensors, penalty=Proximal(self.params.mu))
        return Update(fit.tensors, fit.n_examples)

    def aggregate(self, state: State, updates: Iterable[Update], ctx: RoundContext) -> State:
        return State(weighted_mean(updates))

    export = export_tensors


@hookimpl
def register_strategies() -> list[StrategySpec]:
    summary = "FedAvg with the local penalty mu/2 ||y - x||^2 (arXiv 1812.06127)."
    same = {"fedavg": {"mu": 0.0}}
    return [
        StrategySpec(
            name="fedprox",
            summary=summary,
            build=FedProx,
            params=Params,
            reduces_to=same,
            averages=True,
            partial_work=True,
        )
    ]
