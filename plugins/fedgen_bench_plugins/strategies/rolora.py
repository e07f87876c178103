"""RoLoRA: rounds alternate between B and A; the other factor is frozen."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass

from fedgen_bench import (
    ClientContext,
    Fit,
    FitReport,
    NoParams,
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


@dataclass(frozen=True)
class State:
    """The global factors."""

    tensors: Tensors


class RoLoRA:
    """RoLoRA (arXiv 2502.01755): even rounds freeze A and average B, odd rounds freeze B and average A.

    With one factor common to all clients the average is exact. B comes first: while B = 0 the gradient of A is 0. A
    client is sent the factors that changed since its last round; the one that it froze then it has kept.
    """

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def init(self, start: Tensors, ctx: ServerContext) -> State:
        return State(start)

    def send(self, state: State, ctx: ClientContext) -> Payload:
        last_changed = {"b": _before(ctx.round_index, even=True), "a": _before(ctx.round_index, even=False)}
        missing = [
            getattr(pair, f) for pair in ctx.low_rank for f, at in last_changed.items() if at >= max(ctx.kept_in, 0)
        ]
        reply = {name: state.tensors[name] for name in _trained(ctx)}
        return Payload({name: state.tensors[name] for name in missing}, reply=reply)

    def client(self, payload: Payload, ctx: ClientContext) -> Generator[Fit, FitReport, Update]:
        start = {**ctx.start, **ctx.keep, **payload.tensors}
        trained = frozenset(_trained(ctx))
        fit = yield Fit(start=start, trainable=trained)
        frozen = {name: tensor for name, tensor in start.items() if name not in trained}
        return Update({name: fit.tensors[name] for name in trained}, fit.n_examples, keep=frozen)

    def aggregate(self, state: State, updates: Iterable[Update], ctx: RoundContext) -> State:
        return State({**state.tensors, **weighted_mean(updates)})

    export = export_tensors

    def personalize(self, state: State, ctx: ClientContext) -> Fit:
        """As in the round that would come next: the other factor stays."""
        return Fit(start=state.tensors, trainable=frozenset(_trained(ctx)))


def _trained(ctx: ClientContext) -> list[str]:
    """B in even rounds, A in odd ones."""
    return [pair.a if ctx.round_index % 2 else pair.b for pair in ctx.low_rank]


def _before(round_index: int, *, even: bool) -> int:
    """The last even (odd) round before this one; negative when there is none."""
    return round_index - 1 - (round_index - 1 - (0 if even else 1)) % 2


@hookimpl
def register_strategies() -> list[StrategySpec]:
    summary = "LoRA rounds that alternate between averaging B and A, exactly (arXiv 2502.01755)."
    return [
        StrategySpec(
            name="rolora", version="2", summary=summary, build=RoLoRA, low_rank=True, exact=True, stateful=True
        )
    ]
