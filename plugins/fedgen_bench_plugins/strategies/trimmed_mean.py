"""Trimmed mean: in every coordinate the smallest and the largest values are left out."""

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
    """n_trimmed: values left out at each end of every coordinate; the paper's beta is n_trimmed / n."""

    n_trimmed: int = 1

    def __post_init__(self) -> None:
        if self.n_trimmed < 0:
            raise ValueError(f"n_trimmed must be at least 0, got {self.n_trimmed}.")


@dataclass(frozen=True)
class State:
    """The global tensors."""

    tensors: Tensors


class TrimmedMean:
    """Coordinate-wise trimmed mean (arXiv 1803.01498, Option II) of n clients that all count the same.

    x_j <- 1 / (n - 2b) times the sum of y_kj over all but the b smallest and the b largest, b = n_trimmed. A round's
    updates are all in memory.
    """

    def __init__(self, params: Params) -> None:
        self.params = params

    def init(self, start: Tensors, ctx: ServerContext) -> State:
        return State(start)

    send = send_tensors
    client = train_received

    def aggregate(self, state: State, updates: Iterable[Update], ctx: RoundContext) -> State:
        """Raises ValueError when trimming would leave nothing."""
        import torch

        got, b = list(updates), self.params.n_trimmed
        if len(got) <= 2 * b:
            raise ValueError(
                f"Trimmed mean: leaving out {b} at each end needs at least {2 * b + 1} updates, "
                f"round {ctx.round_index} has {len(got)}. Lower `n_trimmed` or ask more clients a round."
            )
        means: dict[str, torch.Tensor] = {}
        for name in state.tensors:
            ordered = torch.stack([update.tensors[name] for update in got]).sort(dim=0).values
            means |= weighted_mean(Update({name: kept}, 1) for kept in ordered[b : len(got) - b])
        return State(means)

    export = export_tensors


@hookimpl
def register_strategies() -> list[StrategySpec]:
    summary = "Coordinate-wise mean without the extremes (arXiv 1803.01498)."
    return [
        StrategySpec(
            name="trimmed_mean",
            summary=summary,
            build=TrimmedMean,
            params=Params,
            exceptions={"check_one_client": "leaving out both ends needs three updates; it refuses fewer"},
        )
    ]
