"""Krum: the update that lies nearest to its neighbours is taken, the others are dropped."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

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
    """Knobs of Krum.

    Args:
        n_byzantine: the paper's f, how many updates of a round may be hostile; 2 f + 3 must arrive.
        n_selected: the paper's m; above 1 it is Multi-Krum, the mean of the m best.
    """

    n_byzantine: int = 1
    n_selected: int = 1

    def __post_init__(self) -> None:
        if self.n_byzantine < 0:
            raise ValueError(f"n_byzantine must be at least 0, got {self.n_byzantine}.")
        if self.n_selected < 1:
            raise ValueError(f"n_selected must be at least 1, got {self.n_selected}.")


@dataclass(frozen=True)
class State:
    """The global tensors."""

    tensors: Tensors


class Krum:
    """Krum (arXiv 1703.02757) over n updates, f of which may be hostile; all clients count the same.

    score(k) = sum of ||y_k - y_i||^2 over the n - f - 2 updates i != k nearest to k; x <- the y_k of the lowest score,
    or the mean of the `n_selected` lowest. Distances run over all tensors together, in fp64; of equal scores the lower
    client id's wins. A round's updates are all in memory.
    """

    def __init__(self, params: Params) -> None:
        self.params = params

    def init(self, start: Tensors, ctx: ServerContext) -> State:
        return State(start)

    send = send_tensors
    client = train_received

    def aggregate(self, state: State, updates: Iterable[Update], ctx: RoundContext) -> State:
        """Raises ValueError when there are fewer than 2 f + 3 updates, or more to select than can be honest."""
        got, f, m = list(updates), self.params.n_byzantine, self.params.n_selected
        n = len(got)
        if n < 2 * f + 3:
            raise ValueError(
                f"Krum: n_byzantine = {f} needs at least {2 * f + 3} updates, round {ctx.round_index} has {n}. Lower "
                "`n_byzantine` or ask more clients a round."
            )
        if m > n - f:
            raise ValueError(f"Krum: n_selected = {m} of {n} updates with n_byzantine = {f}. Choose at most {n - f}.")
        scores = _scores([update.tensors for update in got], n - f - 2)
        best = sorted(sorted(range(n), key=scores.__getitem__)[:m])
        return State(weighted_mean(Update(got[k].tensors, 1) for k in best))

    export = export_tensors


def _scores(got: list[Tensors], n_nearest: int) -> list[float]:
    """Each update's sum of the smallest `n_nearest` squared distances to others."""
    squares: list[list[float]] = [[] for _ in got]
    for i, k in combinations(range(len(got)), 2):
        names = sorted(got[i])
        square = sum(float((got[i][name].double() - got[k][name].double()).square().sum()) for name in names)
        squares[i].append(square)
        squares[k].append(square)
    return [sum(sorted(distances)[:n_nearest]) for distances in squares]


@hookimpl
def register_strategies() -> list[StrategySpec]:
    summary = "The update nearest to its neighbours (arXiv 1703.02757); Multi-Krum with `n_selected`."
    return [
        StrategySpec(
            name="krum",
            summary=summary,
            build=Krum,
            params=Params,
            exceptions={"check_one_client": "distances to neighbours need three updates; it refuses fewer"},
            trial={"n_byzantine": 0},
        )
    ]
