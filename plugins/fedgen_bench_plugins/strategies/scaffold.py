"""SCAFFOLD: control variates correct the clients' drift."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass

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
    export_tensors,
    hookimpl,
    weighted_mean,
)

C, DELTA_C = "scaffold/c/", "scaffold/delta_c/"


@dataclass(frozen=True)
class Params:
    """server_learning_rate: the paper's eta_g, the length of the server's step along the clients' mean change."""

    server_learning_rate: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.server_learning_rate < float("inf"):
            raise ValueError(f"server_learning_rate must be a finite number above 0, got {self.server_learning_rate}.")


@dataclass(frozen=True)
class State:
    """The global tensors x and the server's control variate c."""

    tensors: Tensors
    c: Tensors


class Scaffold:
    """SCAFFOLD (arXiv 1910.06378), option II, over a cohort S of a population of N clients that all count the same.

    Client: y <- y - eta (g(y) - c_k + c), K times from y = x; then c_k+ = c_k - c + (x - y) / (K eta).
    Server: x <- x + eta_g / |S| sum_k (y_k - x), c <- c + 1/N sum_k (c_k+ - c_k).

    Both directions carry two numbers a parameter: x and c down, y_k and c_k+ - c_k up. c_k is private state.
    """

    def __init__(self, params: Params) -> None:
        self.params = params

    def init(self, start: Tensors, ctx: ServerContext) -> State:
        return State(start, {name: 0 * x for name, x in start.items()})

    def send(self, state: State, ctx: ClientContext) -> Payload:
        x, c = state.tensors, state.c
        return Payload({**x, **_prefixed(C, c)}, reply={**x, **_prefixed(DELTA_C, c)})

    def client(self, payload: Payload, ctx: ClientContext) -> Generator[Fit, FitReport, Update]:
        x = {name: tensor for name, tensor in payload.tensors.items() if not name.startswith(C)}
        c = {name: payload.tensors[C + name] for name in x}
        c_k = ctx.keep or {name: 0 * tensor for name, tensor in x.items()}
        fit = yield Fit(start=x, correction={name: c[name] - c_k[name] for name in x})
        passed = fit.n_steps * ctx.learning_rate
        new_c_k = {name: c_k[name] - c[name] + (x[name] - y) / passed for name, y in fit.tensors.items()}
        delta_c = {name: new_c_k[name] - c_k[name] for name in x}
        return Update({**fit.tensors, **_prefixed(DELTA_C, delta_c)}, fit.n_examples, keep=new_c_k)

    def aggregate(self, state: State, updates: Iterable[Update], ctx: RoundContext) -> State:
        n_updates = 0

        def counted() -> Iterator[Update]:
            nonlocal n_updates
            for update in updates:
                n_updates += 1
                yield Update(update.tensors, 1)

        mean = weighted_mean(counted())
        share = n_updates / ctx.n_clients
        return State(
            {name: x.lerp(mean[name], self.params.server_learning_rate) for name, x in state.tensors.items()},
            {name: c + share * mean[DELTA_C + name] for name, c in state.c.items()},
        )

    export = export_tensors


def _prefixed(prefix: str, tensors: Tensors) -> Tensors:
    return {prefix + name: tensor for name, tensor in tensors.items()}


@hookimpl
def register_strategies() -> list[StrategySpec]:
    return [
        StrategySpec(
            name="scaffold",
            summary="Control variates against client drift, with plain SGD (arXiv 1910.06378).",
            build=Scaffold,
            params=Params,
            optimizers=("sgd",),
            plain_gradients=True,
            stateful=True,
        )
    ]
