"""FedYogi: the server takes Yogi's steps along the clients' mean change."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING

from fedgen_bench import (
    ClientContext,
    Fit,
    FitReport,
    Payload,
    RoundContext,
    ServerContext,
    StrategySpec,
    Tensors,
    Update,
    hookimpl,
)
from fedgen_bench_plugins.strategies.moments import AS_FEDAVG, Params, State, at_rest, stepped

if TYPE_CHECKING:
    import torch


class FedYogi:
    """FedYogi (arXiv 2003.00295): x <- x + eta m / (sqrt(v) + tau), without bias correction.

    delta = sum_k p_k y_k - x; m <- beta1 m + (1 - beta1) delta; v <- v - (1 - beta2) delta^2 sign(v - delta^2).
    At first m = 0 and v = tau^2.
    """

    def __init__(self, params: Params) -> None:
        self.params = params

    def init(self, start: Tensors, ctx: ServerContext) -> State:
        return at_rest(start, self.params.tau)

    def send(self, state: State, ctx: ClientContext) -> Payload:
        return Payload(state.tensors)

    def client(self, payload: Payload, ctx: ClientContext) -> Generator[Fit, FitReport, Update]:
        fit = yield Fit(start=payload.tensors)
        return Update(fit.tensors, fit.n_examples)

    def aggregate(self, state: State, updates: Iterable[Update], ctx: RoundContext) -> State:
        return stepped(state, updates, self.params, self._second_moment)

    def _second_moment(self, v: torch.Tensor, square: torch.Tensor) -> torch.Tensor:
        return v - (1 - self.params.beta2) * square * (v - square).sign()

    def export(self, state: State, ctx: ClientContext | None) -> Tensors:
        return state.tensors


@hookimpl
def register_strategies() -> list[StrategySpec]:
    summary = "FedAvg with Yogi on the server (arXiv 2003.00295)."
    return [
        StrategySpec(
            name="fedyogi", summary=summary, build=FedYogi, params=Params, server_step=True, reduces_to=AS_FEDAVG
        )
    ]
