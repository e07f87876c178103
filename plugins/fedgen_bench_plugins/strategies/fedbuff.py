"""FedBuff: the server steps whenever a buffer of updates is full, however old the models are that they began from."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

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


@dataclass(frozen=True)
class Params:
    """Knobs of the buffer.

    Args:
        buffer_size: updates that the server waits for before it steps; as many as are asked in a round when None.
        exponent: a of the weight (1 + staleness)^-a of an update; 0 weighs all alike.
        server_learning_rate: length of the server's step.
    """

    buffer_size: int | None = None
    exponent: float = 0.5
    server_learning_rate: float = 1.0

    def __post_init__(self) -> None:
        if self.buffer_size is not None and self.buffer_size < 1:
            raise ValueError(f"buffer_size must be at least 1, got {self.buffer_size}.")
        if not 0 <= self.exponent < float("inf"):
            raise ValueError(f"exponent must be a finite number of at least 0, got {self.exponent}.")
        if not 0 < self.server_learning_rate < float("inf"):
            raise ValueError(f"server_learning_rate must be a finite number above 0, got {self.server_learning_rate}.")


@dataclass(frozen=True)
class State:
    """The global tensors x, and what has arrived since the server's last step.

    Args:
        version: steps that the server has taken.
        buffer_size: see `Params`.
        mean: where the updates in the buffer would take x, their mean by examples; empty when none is in it.
        n_examples: of the updates in the buffer.
        n_buffered: how many they are.
    """

    tensors: Tensors
    version: int
    buffer_size: int
    mean: Tensors
    n_examples: int
    n_buffered: int


class FedBuff:
    """FedBuff (arXiv 2106.06639): with K updates in the buffer, x <- x + eta sum_k p_k s(tau_k) (y_k - x_k).

    x_k is the model that client k began from, tau_k the server's steps since then, s(tau) = (1 + tau)^-a and
    p_k = n_k / sum n (the paper has 1 / K).
    """

    def __init__(self, params: Params) -> None:
        self.params = params

    def init(self, start: Tensors, ctx: ServerContext) -> State:
        return State(start, 0, self.params.buffer_size or ctx.clients_per_round, {}, 0, 0)

    send = send_tensors
    client = train_received

    def absorb(self, state: State, sent: State, update: Update, ctx: RoundContext) -> State:
        weight = (1 + state.version - sent.version) ** -self.params.exponent
        moved = {name: _moved(x, sent.tensors[name], update.tensors[name], weight) for name, x in state.tensors.items()}
        known = [Update(state.mean, state.n_examples)] if state.n_buffered else []
        buffered = replace(
            state,
            mean=weighted_mean([*known, Update(moved, update.n_examples)]),
            n_examples=state.n_examples + update.n_examples,
            n_buffered=state.n_buffered + 1,
        )
        return self._stepped(buffered) if buffered.n_buffered == state.buffer_size else buffered

    def _stepped(self, state: State) -> State:
        import torch

        eta = self.params.server_learning_rate
        stepped = {name: torch.lerp(x, state.mean[name], eta) for name, x in state.tensors.items()}
        return State(stepped, state.version + 1, state.buffer_size, {}, 0, 0)

    def aggregate(self, state: State, updates: Iterable[Update], ctx: RoundContext) -> State:
        return functools.reduce(lambda now, update: self.absorb(now, state, update, ctx), updates, state)

    export = export_tensors


def _moved(x: torch.Tensor, received: torch.Tensor, sent: torch.Tensor, weight: float) -> torch.Tensor:
    """X + weight (sent - received); `sent` to the bit where x is what was received and the weight 1."""
    import torch

    return torch.lerp(x, sent + (x - received), weight)


@hookimpl
def register_strategies() -> list[StrategySpec]:
    return [
        StrategySpec(
            name="fedbuff",
            summary="Buffered asynchronous aggregation; without devices, FedAvg in rounds (arXiv 2106.06639).",
            build=FedBuff,
            params=Params,
            server_step=True,
            reduces_to={"fedavg": {}},
        )
    ]
