"""FedNova: clients that took more local steps do not count for more."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    import torch

TAU = "fednova/tau"


@dataclass(frozen=True)
class State:
    """The global tensors."""

    tensors: Tensors


class FedNova:
    """FedNova (arXiv 2007.07481) with plain SGD, where a_k = (1, ..., 1) and so norm1(a_k) = tau_k, the local steps.

    x <- x + tau_eff sum_k p_k (y_k - x) / tau_k, with tau_eff = sum_k p_k tau_k. The local learning rate of
    d_k = (x - y_k) / (eta tau_k) cancels against the eta in front of the sum. tau_k travels with the update, as int64.
    """

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def init(self, start: Tensors, ctx: ServerContext) -> State:
        return State(start)

    def send(self, state: State, ctx: ClientContext) -> Payload:
        return Payload(state.tensors, reply={**state.tensors, TAU: _scalar(0)})

    def client(self, payload: Payload, ctx: ClientContext) -> Generator[Fit, FitReport, Update]:
        fit = yield Fit(start=payload.tensors)
        return Update({**fit.tensors, TAU: _scalar(fit.n_steps)}, fit.n_examples)

    def aggregate(self, state: State, updates: Iterable[Update], ctx: RoundContext) -> State:
        mean = weighted_mean(_per_step(state.tensors, update) for update in updates)
        tau_eff = float(mean[TAU])
        return State({name: x + tau_eff * mean[name] for name, x in state.tensors.items()})

    export = export_tensors


def _scalar(value: int) -> torch.Tensor:
    import torch

    return torch.tensor(value)


def _per_step(x: Tensors, update: Update) -> Update:
    """(y_k - x) / tau_k, and tau_k in fp64. Raises ValueError when a client says that it took no step."""
    tau = update.tensors[TAU].double()
    if tau < 1:
        raise ValueError(f"FedNova: a client says that it took {int(tau)} local steps; it must be at least 1.")
    per_step = {name: (update.tensors[name] - received) / float(tau) for name, received in x.items()}
    return Update({**per_step, TAU: tau}, update.n_examples)


@hookimpl
def register_strategies() -> list[StrategySpec]:
    return [
        StrategySpec(
            name="fednova",
            summary="FedAvg over changes per local step; matters with `local_epochs` (arXiv 2007.07481).",
            build=FedNova,
            optimizers=("sgd",),
            equal_rates=True,
            server_step=True,
            partial_work=True,
        ),
        StrategySpec(
            name="fednova_adaptive",
            summary="FedNova's division by local steps under any local optimizer: a heuristic where that is not SGD.",
            build=FedNova,
            server_step=True,
            partial_work=True,
        ),
    ]
