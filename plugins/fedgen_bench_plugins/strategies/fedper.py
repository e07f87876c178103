"""FedPer: some layers are shared, the others belong to each client."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

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
    weighted_mean,
)


@dataclass(frozen=True)
class Params:
    """personal: patterns (`*` matches anything) of the tensors that stay with each client; without any it is FedAvg."""

    personal: tuple[str, ...] = ("lm_head.*",)


@dataclass(frozen=True)
class State:
    """The shared tensors, and the initial values of the personal ones."""

    shared: Tensors
    personal: Tensors


class FedPer:
    """FedPer (arXiv 1912.00818): a client trains shared and personal layers together and sends the shared ones.

    x <- sum_k p_k y_k over the shared tensors; the personal ones are the client's private state and start from the
    adapter's initial values. What stands for everybody is the shared tensors with these initial values: the model that
    a client has before it takes part.
    """

    def __init__(self, params: Params) -> None:
        self.params = params

    def init(self, start: Tensors, ctx: ServerContext) -> State:
        """Raises ValueError when a pattern matches nothing, or nothing is left to share."""
        personal = {
            name: x for name, x in start.items() if any(fnmatchcase(name, pattern) for pattern in self.params.personal)
        }
        for pattern in self.params.personal:
            if not any(fnmatchcase(name, pattern) for name in personal):
                raise ValueError(
                    f"FedPer: no tensor of the adapter matches `{pattern}`, so it makes nothing personal. Choose "
                    f"`personal` among: {', '.join(sorted(start))}."
                )
        if personal.keys() == start.keys():
            raise ValueError("FedPer: `personal` matches every tensor of the adapter, so nothing would be shared.")
        return State({name: x for name, x in start.items() if name not in personal}, personal)

    def send(self, state: State, ctx: ClientContext) -> Payload:
        return Payload(state.shared)

    def client(self, payload: Payload, ctx: ClientContext) -> Generator[Fit, FitReport, Update]:
        fit = yield Fit(start={**ctx.start, **ctx.keep, **payload.tensors})
        shared = {name: fit.tensors[name] for name in payload.tensors}
        personal = {name: y for name, y in fit.tensors.items() if name not in shared}
        return Update(shared, fit.n_examples, keep=personal)

    def aggregate(self, state: State, updates: Iterable[Update], ctx: RoundContext) -> State:
        return State(weighted_mean(updates), state.personal)

    def export(self, state: State, ctx: ClientContext | None) -> Tensors:
        own = ctx.keep if ctx is not None else {}
        return {**state.shared, **state.personal, **own}

    def personalize(self, state: State, ctx: ClientContext) -> Fit:
        """The shared part stays; with nothing personal it is FedAvg's."""
        return Fit(start=self.export(state, ctx), trainable=frozenset(state.personal) or None)


@hookimpl
def register_strategies() -> list[StrategySpec]:
    return [
        StrategySpec(
            name="fedper",
            version="2",
            summary="FedAvg over some layers, the others stay with each client (arXiv 1912.00818).",
            build=FedPer,
            params=Params,
            stateful=True,
            averages=True,
            sends_from_keep=True,
            reduces_to={"fedavg": {"personal": ()}},
            trial={"personal": ("right",)},
        )
    ]
