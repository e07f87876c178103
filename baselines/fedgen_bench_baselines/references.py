"""Reference rows: no training (`frozen`), no federation (`local_only`), all data in one place (`centralized`)."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass

from fedgen_bench import (
    ClientContext,
    Fit,
    FitReport,
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
)


@dataclass(frozen=True)
class State:
    """The tensors that stand for everybody."""

    tensors: Tensors


class Frozen:
    """The backbone as it is (zero-shot): nothing is trained, nothing is sent."""

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def init(self, start: Tensors, ctx: ServerContext) -> State:
        return State(start)

    def send(self, state: State, ctx: ClientContext) -> None:
        return None

    def client(self, payload: None, ctx: ClientContext) -> Generator[Fit, FitReport, Update]:
        yield from ()
        return Update({}, ctx.n_examples)

    def aggregate(self, state: State, updates: Iterable[Update], ctx: RoundContext) -> State:
        for _ in updates:
            pass
        return state

    export = export_tensors


class LocalOnly:
    """Every client trains its own adapter on its own data from the common start; nothing is sent, no global model."""

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def init(self, start: Tensors, ctx: ServerContext) -> State:
        return State(start)

    def send(self, state: State, ctx: ClientContext) -> None:
        return None

    def client(self, payload: None, ctx: ClientContext) -> Generator[Fit, FitReport, Update]:
        fit = yield Fit(start=ctx.keep or ctx.start)
        return Update({}, fit.n_examples, keep=fit.tensors)

    def aggregate(self, state: State, updates: Iterable[Update], ctx: RoundContext) -> State:
        for _ in updates:
            pass
        return state

    def export(self, state: State, ctx: ClientContext | None) -> Tensors | None:
        return None if ctx is None else ctx.keep or state.tensors


class Centralized:
    """All data in one place: as many local steps a round as the cohort would take together, one model.

    Model and data stand on one machine, so the core books no bytes for a pooled cohort.
    """

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def init(self, start: Tensors, ctx: ServerContext) -> State:
        return State(start)

    send = send_tensors
    client = train_received

    def aggregate(self, state: State, updates: Iterable[Update], ctx: RoundContext) -> State:
        (update,) = updates
        return State(update.tensors)

    export = export_tensors


@hookimpl
def register_strategies() -> list[StrategySpec]:
    return [
        StrategySpec(
            name="frozen", summary="Reference: the backbone as it is, zero-shot.", build=Frozen, cohort="none"
        ),
        StrategySpec(
            name="local_only",
            summary="Reference: every client trains alone, nothing is sent.",
            build=LocalOnly,
            stateful=True,
        ),
        StrategySpec(
            name="centralized",
            summary="Reference: all data in one place, the cohort's total of steps.",
            build=Centralized,
            cohort="pooled",
        ),
    ]
