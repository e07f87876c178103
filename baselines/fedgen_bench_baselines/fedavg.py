"""FedAvg: every client trains what it received, the server averages by example counts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fedgen_bench import (
    NoParams,
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
class State:
    """The global tensors."""

    tensors: Tensors


class FedAvg:
    """FedAvg (arXiv 1602.05629): x <- sum_k p_k y_k with p_k = n_k / sum n over the round's cohort."""

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def init(self, start: Tensors, ctx: ServerContext) -> State:
        return State(start)

    send = send_tensors
    client = train_received

    def aggregate(self, state: State, updates: Iterable[Update], ctx: RoundContext) -> State:
        return State(weighted_mean(updates))

    export = export_tensors


@hookimpl
def register_strategies() -> list[StrategySpec]:
    return [
        StrategySpec(
            name="fedavg",
            summary="Average of locally trained tensors, weighted by examples (arXiv 1602.05629).",
            build=FedAvg,
            averages=True,
        )
    ]
