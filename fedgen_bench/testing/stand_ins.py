"""What stands before a strategy while it is simulated: each watches or changes one thing and passes on the rest."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from fedgen_bench.contract.contexts import ClientContext
from fedgen_bench.contract.data import Tensors
from fedgen_bench.contract.messages import Fit, FitReport, Model, Payload, Update
from fedgen_bench.testing.bits import fingerprint


class StandIn:
    """Stands before a strategy; what it does not do otherwise, the strategy does."""

    def __init__(self, strategy: Any) -> None:
        self._strategy = strategy

    def __getattr__(self, name: str) -> Any:
        return getattr(self._strategy, name)


_Kind = TypeVar("_Kind", bound=StandIn)


def stand_in(strategy: Any, kind: type[_Kind], *arguments: Any) -> _Kind:
    """A stand-in under the strategy's own type name, which the core's messages use."""
    named: type[_Kind] = type(type(strategy).__name__, (kind,), {})
    return named(strategy, *arguments)


class Traced(StandIn):
    """Remembers what of the strategy was asked for last."""

    def __init__(self, strategy: Any) -> None:
        super().__init__(strategy)
        self.last: Any = strategy

    def __getattr__(self, name: str) -> Any:
        self.last = getattr(self._strategy, name)
        return self.last


class Fresh(StandIn):
    """A new instance for every call."""

    def __init__(self, strategy: Any, build: Callable[[], Any]) -> None:
        super().__init__(strategy)
        self._build = build

    def __getattr__(self, name: str) -> Any:
        return getattr(self._build(), name)


class Gathering(StandIn):
    """Takes all of a round's updates before `aggregate` has them one by one; `look` gives those that it has."""

    def __init__(self, strategy: Any, look: Callable[[list[Update]], list[Update]]) -> None:
        super().__init__(strategy)
        self._look = look

    def aggregate(self, state: Any, updates: Iterable[Update], ctx: Any) -> Any:
        """The next state."""
        return self._strategy.aggregate(state, (one for one in self._look(list(updates))), ctx)


@dataclass(frozen=True)
class Trained:
    """A client's fit: what it was told, what it asked for and what it got."""

    ctx: ClientContext
    request: Fit
    report: FitReport

    @property
    def model(self) -> Model:
        """The locally trained model."""
        return Model(self.report.tensors, self.request.merges)


class Noted(StandIn):
    """A strategy whose clients' fits are noted, by client: of several the one that the update was made from."""

    def __init__(self, strategy: Any, trained: MutableMapping[int, Trained]) -> None:
        super().__init__(strategy)
        self._trained = trained

    def client(self, payload: Payload | None, ctx: ClientContext) -> Generator[Fit, FitReport, Any]:
        """The client half, passed through."""
        half = self._strategy.client(payload, ctx)
        answer: Any = None
        fits: list[Trained] = []
        while True:
            try:
                request = half.send(answer)
            except StopIteration as end:
                if fits:
                    self._trained[ctx.client_id] = _sent(fits, end.value)
                return end.value
            answer = yield request
            fits.append(Trained(ctx, request, answer))


def _sent(fits: Sequence[Trained], update: Any) -> Trained:
    """The last fit whose report has what was sent; the last one where none has."""
    sent = update.tensors if isinstance(update, Update) else {}
    for one in reversed(fits):
        common = one.report.tensors.keys() & sent.keys()
        if common and all(sent[name].equal(one.report.tensors[name]) for name in common):
            return one
    return fits[-1]


class Watched(StandIn):
    """A strategy that must leave everything that it is given as it is, the client half at every yield.

    `name` is what messages call it.
    """

    def __init__(self, strategy: Any, name: str) -> None:
        super().__init__(strategy)
        self._name = name

    def init(self, start: Tensors, ctx: Any) -> Any:
        """The first state."""
        return self._watched("init", start, ctx)

    def send(self, state: Any, ctx: ClientContext) -> Any:
        """What is sent."""
        return self._watched("send", state, ctx)

    def export(self, state: Any, ctx: ClientContext | None) -> Any:
        """What is exported."""
        return self._watched("export", state, ctx)

    def aggregate(self, state: Any, updates: Iterable[Update], ctx: Any) -> Any:
        """The next state."""
        held = list(updates)
        before = fingerprint(held)
        new = self._watched("aggregate", state, (one for one in held), ctx)
        assert fingerprint(held) == before, f"{self._name}.aggregate changed an update"
        return new

    def client(self, payload: Payload | None, ctx: ClientContext) -> Generator[Fit, FitReport, Any]:
        """The client half, compared around every step."""
        before = fingerprint((payload, ctx))
        half = self._strategy.client(payload, ctx)
        answer: Any = None
        reports: list[tuple[Any, str]] = []
        while True:
            try:
                request = half.send(answer)
            except StopIteration as end:
                self._compare(before, (payload, ctx), reports)
                return end.value
            self._compare(before, (payload, ctx), reports)
            answer = yield request
            reports.append((answer, fingerprint(answer)))

    def _watched(self, method: str, *arguments: Any) -> Any:
        before = fingerprint(arguments)
        result = getattr(self._strategy, method)(*arguments)
        assert fingerprint(arguments) == before, f"{self._name}.{method} changed its arguments"
        return result

    def _compare(self, before: str, now: Any, reports: list[tuple[Any, str]]) -> None:
        name = type(self).__name__
        assert fingerprint(now) == before, f"{name}.client changed its payload or context"
        assert all(fingerprint(report) == was for report, was in reports), f"{name}.client changed a fit's report"
