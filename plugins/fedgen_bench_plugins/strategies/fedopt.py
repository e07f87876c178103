"""FedOpt: FedAdam and FedYogi, whose servers take adaptive steps along the clients' mean change."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

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

if TYPE_CHECKING:
    import torch


_LEAST_TAU = 1e-15  # its square is still an fp32 number


@dataclass(frozen=True)
class Params:
    """Knobs of the server's optimizer, named as in the paper.

    Args:
        beta1: decay of the first moment.
        beta2: decay of the second moment; 1 keeps it where it starts, at tau^2.
        tau: how adaptive the steps are; large values make all coordinates alike.
        server_learning_rate: eta of the server's step.
    """

    beta1: float = 0.9
    beta2: float = 0.99
    tau: float = 0.001
    server_learning_rate: float = 0.01

    def __post_init__(self) -> None:
        if not 0 <= self.beta1 < 1:
            raise ValueError(f"beta1 must be at least 0 and below 1, got {self.beta1}.")
        if not 0 <= self.beta2 <= 1:
            raise ValueError(f"beta2 must be within 0 and 1, got {self.beta2}.")
        if not _LEAST_TAU <= self.tau < float("inf"):
            raise ValueError(f"tau must be a finite number of at least {_LEAST_TAU}, got {self.tau}.")
        if not 0 < self.server_learning_rate < float("inf"):
            raise ValueError(f"server_learning_rate must be a finite number above 0, got {self.server_learning_rate}.")


@dataclass(frozen=True)
class State:
    """The global tensors x, and the moments m and v of their shapes in fp32."""

    tensors: Tensors
    m: Tensors
    v: Tensors


class Adaptive(Protocol):
    """What the methods here differ in."""

    params: Params

    def second_moment(self, v: torch.Tensor, square: torch.Tensor) -> torch.Tensor:
        """The next v, from this one and delta^2 of the same shape."""


def at_rest(self: Adaptive, start: Tensors, ctx: ServerContext) -> State:
    """The state before the first round: m = 0 and v = tau^2."""
    zeros = {name: 0 * x.float() for name, x in start.items()}
    return State(start, zeros, {name: zero + self.params.tau**2 for name, zero in zeros.items()})


def stepped(self: Adaptive, state: State, updates: Iterable[Update], ctx: RoundContext) -> State:
    """The state after one step of the server, without bias correction.

    delta = sum_k p_k y_k - x; m <- beta1 m + (1 - beta1) delta; v <- second_moment(v, delta^2);
    x <- x + eta m / (sqrt(v) + tau).
    """
    params, mean = self.params, weighted_mean(updates)
    delta = {name: mean[name].float() - x.float() for name, x in state.tensors.items()}
    m = {name: params.beta1 * state.m[name] + (1 - params.beta1) * change for name, change in delta.items()}
    v = {name: self.second_moment(state.v[name], change.square()) for name, change in delta.items()}
    tensors = {
        name: (x.float() + params.server_learning_rate * m[name] / (v[name].sqrt() + params.tau)).to(x.dtype)
        for name, x in state.tensors.items()
    }
    return State(tensors, m, v)


class FedAdam:
    """FedAdam (arXiv 2003.00295): x <- x + eta m / (sqrt(v) + tau), without bias correction.

    delta = sum_k p_k y_k - x; m <- beta1 m + (1 - beta1) delta; v <- beta2 v + (1 - beta2) delta^2.
    At first m = 0 and v = tau^2.
    """

    def __init__(self, params: Params) -> None:
        self.params = params

    def second_moment(self, v: torch.Tensor, square: torch.Tensor) -> torch.Tensor:
        return self.params.beta2 * v + (1 - self.params.beta2) * square

    init = at_rest
    send = send_tensors
    client = train_received
    aggregate = stepped
    export = export_tensors


class FedYogi:
    """FedYogi (arXiv 2003.00295): x <- x + eta m / (sqrt(v) + tau), without bias correction.

    delta = sum_k p_k y_k - x; m <- beta1 m + (1 - beta1) delta; v <- v - (1 - beta2) delta^2 sign(v - delta^2).
    At first m = 0 and v = tau^2.
    """

    def __init__(self, params: Params) -> None:
        self.params = params

    def second_moment(self, v: torch.Tensor, square: torch.Tensor) -> torch.Tensor:
        return v - (1 - self.params.beta2) * square * (v - square).sign()

    init = at_rest
    send = send_tensors
    client = train_received
    aggregate = stepped
    export = export_tensors


@hookimpl
def register_strategies() -> list[StrategySpec]:
    # With beta2 = 1, v stays tau^2, and the step is server_learning_rate delta / (tau + tau).
    as_fedavg = {"fedavg": {"beta1": 0.0, "beta2": 1.0, "tau": 0.5, "server_learning_rate": 1.0}}
    return [
        StrategySpec(
            name=name,
            summary=f"FedAvg with {optimizer} on the server (arXiv 2003.00295).",
            build=build,
            params=Params,
            server_step=True,
            averages=True,
            reduces_to=as_fedavg,
        )
        for name, optimizer, build in (("fedadam", "Adam", FedAdam), ("fedyogi", "Yogi", FedYogi))
    ]
