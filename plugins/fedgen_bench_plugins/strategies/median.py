"""Median: every coordinate is the middle one of the clients'."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class State:
    """The global tensors."""

    tensors: Tensors


class Median:
    """Coordinate-wise median (arXiv 1803.01498, Option I): x_j <- the median over clients of y_kj, unweighted.

    For an even number of clients it is the mean of the two values in the middle. A round's updates are all in memory.
    """

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def init(self, start: Tensors, ctx: ServerContext) -> State:
        return State(start)

    send = send_tensors
    client = train_received

    def aggregate(self, state: State, updates: Iterable[Update], ctx: RoundContext) -> State:
        import torch

        got = [update.tensors for update in updates]
        lower, upper = (len(got) - 1) // 2, len(got) // 2
        medians: dict[str, torch.Tensor] = {}
        for name in state.tensors:
            ordered = torch.stack([tensors[name] for tensors in got]).sort(dim=0).values
            medians |= weighted_mean(Update({name: middle}, 1) for middle in (ordered[lower], ordered[upper]))
        return State(medians)

    export = export_tensors


@hookimpl
def register_strategies() -> list[StrategySpec]:
    summary = "Coordinate-wise median of the clients' tensors (arXiv 1803.01498)."
    return [StrategySpec(name="median", summary=summary, build=Median)]
