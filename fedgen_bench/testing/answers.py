"""A strategy's first rounds on the toy world, each of its answers looked at: the first thing that is wrong, once."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from fedgen_bench.contract.contexts import ClientContext
from fedgen_bench.contract.data import Tensors
from fedgen_bench.contract.messages import Fit, Model, Payload, Update
from fedgen_bench.contract.specs import StrategySpec
from fedgen_bench.testing.locations import Broken, Located, line_of, note_location, return_of, yield_of
from fedgen_bench.testing.simulation import Simulation
from fedgen_bench.testing.stand_ins import StandIn, stand_in
from fedgen_bench.testing.structure import assert_tensors, built, described
from fedgen_bench.testing.toy_models import function_of

if TYPE_CHECKING:
    from collections.abc import Iterable


def check_rehearsal(spec: StrategySpec) -> None:
    """It has its methods, and three rounds of it go through: each answer is what its method promises."""
    built("strategy", spec)
    watched: list[Examined] = []

    def build(params: Any) -> Any:
        watched.append(stand_in(spec.build(params), Examined, spec))
        return watched[-1]

    try:
        _rehearse(Simulation(dataclasses.replace(spec, build=build)))
    except BaseException as error:
        note_location(error, watched[-1].location() if watched else "")
        raise


def _rehearse(simulation: Simulation) -> None:
    _load_exports(simulation)
    for _ in range(3):
        simulation.run(1)
        _load_exports(simulation)


def _load_exports(simulation: Simulation) -> None:
    for client_id in (None, *range(simulation.n_clients)):
        exported = simulation.export(client_id)
        if exported is not None:
            function_of(simulation.adapted, exported)


class Examined(StandIn, Located):
    """A strategy, each answer of which is looked at; `location()` is where in the plugin's files it is now."""

    def __init__(self, strategy: Any, spec: StrategySpec) -> None:
        super().__init__(strategy)
        self._spec = spec
        self._name = type(strategy).__name__
        self._state: type | None = None
        self._trainable: tuple[str, ...] = ()
        self.location = partial(line_of, type(strategy))

    def init(self, start: Tensors, ctx: Any) -> Any:
        """The state, which must be data that can be stored."""
        self._trainable = tuple(start)
        state = self._answer("init", start, ctx)
        self._look_at_state("init", state)
        self._state = type(state)
        return state

    def send(self, state: Any, ctx: ClientContext) -> Any:
        """A payload or nothing."""
        payload = self._answer("send", state, ctx)
        if payload is not None:
            if not isinstance(payload, Payload):
                raise self._broken(f"send returned {described(payload)}. Return a `Payload`, or None to send nothing.")
            self._look_at_tensors("send", "`Payload.tensors`", payload.tensors)
        return payload

    def client(self, payload: Payload | None, ctx: ClientContext) -> Generator[Any, Any, Any]:
        """The client half, request by request."""
        self.location = partial(line_of, self._strategy.client)
        half = self._strategy.client(payload, ctx)
        if not isinstance(half, Generator):
            raise self._broken(
                f"client is no generator: it returned {described(half)}. Train with `fit = yield Fit(...)`."
            )
        report: Any = None
        left, n_fits = ctx.local_steps * self._spec.fits_per_round, 0
        while True:
            try:
                request = half.send(report)
            except StopIteration as end:
                update = end.value
                break
            self.location = partial(str, yield_of(half))
            n_fits += 1
            left -= self._steps_of(request, ctx, left, n_fits)
            report = yield request
        self.location = partial(return_of, self._strategy.client)
        self._look_at_update(update, n_fits)
        return update

    def aggregate(self, state: Any, updates: Iterable[Update], ctx: Any) -> Any:
        """The next state, of the first one's type and finite."""
        new = self._answer("aggregate", state, ReadOnce(updates, f"{self._name}.aggregate"), ctx)
        self._look_at_state("aggregate", new)
        return new

    def export(self, state: Any, ctx: ClientContext | None) -> Any:
        """Tensors that the adapter can load, a model, or nothing."""
        exported = self._answer("export", state, ctx)
        if exported is not None and not isinstance(exported, Model):
            self._look_at_tensors("export", "it", exported)
        return exported

    def _answer(self, method: str, *arguments: Any) -> Any:
        there = getattr(self._strategy, method)
        self.location = partial(line_of, there)
        answer = there(*arguments)
        self.location = partial(return_of, there)
        return answer

    def _broken(self, sentence: str) -> Broken:
        return Broken(f"{self._name}.{sentence}", self.location())

    def _look_at_state(self, method: str, state: Any) -> None:
        from safetensors.torch import load

        from fedgen_bench.federation.statecodec import encode_state

        if self._state is not None and not isinstance(state, self._state):
            raise self._broken(f"{method} returned {described(state)}. Return the next `{self._state.__name__}`.")
        if not dataclasses.is_dataclass(state):
            raise self._broken(f"{method} returned {described(state)}. A state is a frozen dataclass.")
        for part in _dataclasses(state):
            if not type(part).__dataclass_params__.frozen:
                kind = type(part).__name__
                raise Broken(
                    f"The state's `{kind}` is not frozen. Write `@dataclass(frozen=True)`, and give back new values.",
                    line_of(type(part)),
                )
        for name, tensor in sorted(load(encode_state(state)).items()):
            if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
                raise self._broken(f"{method} made NaN or infinity in the state's `{name.lstrip('/')}`.")

    def _look_at_tensors(self, method: str, what: str, tensors: Any) -> None:
        assert_tensors(tensors, f"{self._name}.{method}: {what}", self.location)

    def _steps_of(self, request: Any, ctx: ClientContext, left: int, n_fits: int) -> int:
        """Local steps that a request takes."""
        if not isinstance(request, Fit):
            raise self._broken(f"client yielded {described(request)}. Yield `Fit` requests.")
        self._look_at_tensors("client", "`Fit.start`", request.start)
        if request.trainable is not None:
            there = ", ".join(f"`{name}`" for name in self._trainable)
            if unknown := sorted(set(request.trainable) - set(self._trainable)):
                raise self._broken(f"client: `Fit.trainable` names `{unknown[0]}`; there are {there}.")
            if not request.trainable:
                raise self._broken(f"client: `Fit.trainable` matches nothing; there are {there}.")
        steps = ctx.local_steps if request.n_steps is None else request.n_steps
        if not 0 < steps <= left:
            raise self._broken(
                f"client asks for {steps} local steps in fit {n_fits} of a round where {left} are left. Declare "
                f"`fits_per_round={max(n_fits, self._spec.fits_per_round + 1)}` in the spec, or ask for fewer steps."
            )
        return steps

    def _look_at_update(self, update: Any, n_fits: int) -> None:
        if not n_fits:
            raise self._broken("client never yielded. Train with `fit = yield Fit(...)`.")
        if not isinstance(update, Update):
            raise self._broken(f"client returned {described(update)}. Return an `Update`.")
        self._look_at_tensors("client", "`Update.tensors`", update.tensors)
        if update.keep is not None:
            self._look_at_tensors("client", "`Update.keep`", update.keep)
        if not isinstance(update.n_examples, int):
            raise self._broken(
                f"client returned n_examples as {described(update.n_examples)}. Return `fit.n_examples`."
            )
        for name, tensor in update.tensors.items():
            if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
                raise self._broken(f"client returned NaN or infinity in `{name}`.")


class ReadOnce:
    """Updates that may be read once, as the core streams them; a second reading is told instead of finding nothing."""

    def __init__(self, updates: Iterable[Update], who: str) -> None:
        self._rest, self._who, self._ended = iter(updates), who, False

    def __iter__(self) -> Iterator[Update]:
        if self._ended:
            raise Broken(f"{self._who} reads `updates` a second time: they stream. Keep what you need of the first.")
        return self

    def __next__(self) -> Update:
        try:
            return next(self._rest)
        except StopIteration:
            self._ended = True
            raise


def _dataclasses(value: Any) -> Iterator[Any]:
    """A value and everything inside it that is a dataclass."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield value
        for field in dataclasses.fields(value):
            yield from _dataclasses(getattr(value, field.name))
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _dataclasses(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _dataclasses(inner)
