"""FedAsync: the server mixes every update into its model as it arrives, older ones with less weight."""

from __future__ import annotations

import functools
from collections.abc import Generator, Iterable
from dataclasses import dataclass

from fedgen_bench import (
    ClientContext,
    Fit,
    FitReport,
    Payload,
    Proximal,
    RoundContext,
    ServerContext,
    StrategySpec,
    Tensors,
    Update,
    export_tensors,
    hookimpl,
    send_tensors,
)


@dataclass(frozen=True)
class Params:
    """Knobs of the mixing.

    Args:
        mixing: alpha, the weight of an update that is not stale, above 0 and at most 1.
        exponent: a of the factor (1 + staleness)^-a on it; 0 weighs all alike.
        rho: weight of the clients' proximal term; 0 trains without one.
    """

    mixing: float = 0.6
    exponent: float = 0.5
    rho: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.mixing <= 1:
            raise ValueError(f"mixing must be above 0 and at most 1, got {self.mixing}.")
        for name in ("exponent", "rho"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be a finite number of at least 0, got {getattr(self, name)}.")


@dataclass(frozen=True)
class State:
    """The global tensors, and how many updates are mixed into them."""

    tensors: Tensors
    version: int


class FedAsync:
    """FedAsync (arXiv 1903.03934): x <- (1 - alpha_k) x + alpha_k y_k with alpha_k = alpha (1 + tau_k)^-a.

    tau_k is the number of updates that were mixed in since client k was sent its model. Clients minimise
    F_k(y) + rho/2 ||y - x_k||^2, where x_k is that model.
    """

    def __init__(self, params: Params) -> None:
        self.params = params

    def init(self, start: Tensors, ctx: ServerContext) -> State:
        return State(start, 0)

    send = send_tensors

    def client(self, payload: Payload, ctx: ClientContext) -> Generator[Fit, FitReport, Update]:
        penalty = Proximal(self.params.rho) if self.params.rho else None
        fit = yield Fit(start=payload.tensors, penalty=penalty)
        return Update(fit.tensors, fit.n_examples)

    def absorb(self, state: State, sent: State, update: Update, ctx: RoundContext) -> State:
        import torch

        alpha = self.params.mixing * (1 + state.version - sent.version) ** -self.params.exponent
        mixed = {name: torch.lerp(x, update.tensors[name], alpha) for name, x in state.tensors.items()}
        return State(mixed, state.version + 1)

    def aggregate(self, state: State, updates: Iterable[Update], ctx: RoundContext) -> State:
        return functools.reduce(lambda now, update: self.absorb(now, state, update, ctx), updates, state)

    export = export_tensors


@hookimpl
def register_strategies() -> list[StrategySpec]:
    return [
        StrategySpec(
            name="fedasync",
            summary="Every update is mixed in as it arrives, older ones with less weight (arXiv 1903.03934).",
            build=FedAsync,
            params=Params,
            server_step=True,
            exceptions=dict.fromkeys(
                ("check_one_client", "check_identical_clients"), "The server goes alpha of the way to a client's model."
            ),
        )
    ]
