"""What the adaptive server optimisers have in common: Algorithm 2 of arXiv 2003.00295, but for its second moment."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedgen_bench import Tensors, Update, weighted_mean

if TYPE_CHECKING:
    import torch


_LEAST_TAU = 1e-15  # its square is still an fp32 number


@dataclass(frozen=True)
class Params:
    """Knobs of the server's optimiser, named as in the paper.

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


SecondMoment = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]

# With beta2 = 1, v stays tau^2, and the step is server_learning_rate delta / (tau + tau).
AS_FEDAVG = {"fedavg": {"beta1": 0.0, "beta2": 1.0, "tau": 0.5, "server_learning_rate": 1.0}}


def at_rest(start: Tensors, tau: float) -> State:
    """The state before the first round: m = 0 and v = tau^2."""
    zeros = {name: 0 * x.float() for name, x in start.items()}
    return State(start, zeros, {name: zero + tau**2 for name, zero in zeros.items()})


def stepped(state: State, updates: Iterable[Update], params: Params, second_moment: SecondMoment) -> State:
    """The state after one step of the server, without bias correction.

    delta = sum_k p_k y_k - x; m <- beta1 m + (1 - beta1) delta; v <- second_moment(v, delta^2);
    x <- x + eta m / (sqrt(v) + tau).
    """
    mean = weighted_mean(updates)
    delta = {name: mean[name].float() - x.float() for name, x in state.tensors.items()}
    m = {name: params.beta1 * state.m[name] + (1 - params.beta1) * one for name, one in delta.items()}
    v = {name: second_moment(state.v[name], one.square()) for name, one in delta.items()}
    tensors = {
        name: (x.float() + params.server_learning_rate * m[name] / (v[name].sqrt() + params.tau)).to(x.dtype)
        for name, x in state.tensors.items()
    }
    return State(tensors, m, v)
