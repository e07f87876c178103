"""FedAvgM: the server adds momentum to FedAvg's step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fedgen_bench import (
    RoundContext,
    ServerContext,
    StrategySpec,
    Tensors,
    Update,
    export_tensors,
    hookimpl,
    send_tensors,
    train_received,
    weighted_mean,
)


@dataclass(frozen=True)
class Params:
    """beta: momentum of the server. server_learning_rate: length of its step. 0 and 1 are FedAvg."""

    beta: float = 0.9
    server_learning_rate: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.beta < 1:
            raise ValueError(f"beta must be at least 0 and below 1, got {self.beta}.")
        if not 0 < self.server_learning_rate < float("inf"):
            raise ValueError(f"server_learning_rate must be a finite number above 0, got {self.server_learning_rate}.")


@dataclass(frozen=True)
class State:
    """The global tensors x, and the velocity of their shapes in fp32."""

    tensors: Tensors
    velocity: Tensors


class FedAvgM:
    """FedAvgM (arXiv 1909.06335): v <- beta v + (sum_k p_k y_k - x), a heavy ball; then x <- x + eta v."""

    def __init__(self, params: Params) -> None:
        self.params = params

    def init(self, start: Tensors, ctx: ServerContext) -> State:
        return State(start, {name: 0 * x.float() for name, x in start.items()})

    send = send_tensors
    client = train_received

    def aggregate(self, state: State, updates: Iterable[Update], ctx: RoundContext) -> State:
        mean, beta, eta = weighted_mean(updates), self.params.beta, self.params.server_learning_rate
        velocity = {
            name: beta * state.velocity[name] + (mean[name].float() - x.float()) for name, x in state.tensors.items()
        }
        return State(
            {name: (x.float() + eta * velocity[name]).to(x.dtype) for name, x in state.tensors.items()}, velocity
        )

    export = export_tensors


@hookimpl
def register_strategies() -> list[StrategySpec]:
    return [
        StrategySpec(
            name="fedavgm",
            summary="FedAvg with momentum on the server (arXiv 1909.06335).",
            build=FedAvgM,
            params=Params,
            server_step=True,
            averages=True,
            reduces_to={"fedavg": {"beta": 0.0, "server_learning_rate": 1.0}},
        )
    ]
