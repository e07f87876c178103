"""Federated rounds of a strategy in the toy world: the rounds that run, in milliseconds."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.errors import RoundFailed, WireError
from fedgen_bench.base.guards import guarded
from fedgen_bench.contract.data import Tensors
from fedgen_bench.contract.engines import ClientOutcome, ClientTask, Work
from fedgen_bench.contract.messages import Message, Model, Update
from fedgen_bench.contract.reports import LedgerEntry, Quarantine
from fedgen_bench.federation.client_states import own_part
from fedgen_bench.federation.final_result import named_tensors
from fedgen_bench.federation.pieces import pieces
from fedgen_bench.federation.release import own
from fedgen_bench.federation.round import Round
from fedgen_bench.federation.statecodec import decode_state, encode_state
from fedgen_bench.federation.wire import decode
from fedgen_bench.testing.locations import at
from fedgen_bench.testing.stand_ins import Fresh, Gathering, Noted, Traced, Trained, Watched, stand_in
from fedgen_bench.testing.toy_federation import ToyFederation
from fedgen_bench.testing.toy_models import function_of

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class SimulatedRound:
    """One simulated round.

    Args:
        payloads: what travelled to each client, by name.
        updates: those that were admitted.
        ledger: the booked messages, in the order of `messages`.
        quarantined: what was refused.
        state: the one after the round.
    """

    payloads: Mapping[int, Tensors]
    updates: tuple[Update, ...]
    ledger: tuple[LedgerEntry, ...]
    messages: tuple[Message | bytes, ...]
    quarantined: tuple[Quarantine, ...]
    state: Any


@dataclass(kw_only=True)
class Simulation(ToyFederation):
    """Rounds of a strategy in the toy federation, each watched or upset in some way.

    Args:
        codec: store and read back state and private states after every round, as a resumed run does.
        rebuild: build the strategy anew before every call, so that nothing can hide in the instance.
        backwards: train a round's clients in descending order; updates are aggregated in ascending order all the same.
        watch: compare every argument of every call with a copy taken before it.
        note: remember in `trained`, of every client, the last fit that its update was made from.
        forget: drop the strategy's part of every private state after each round.
        quarantine: go on without what the gate refuses, as a run does; raise it when False.
    """

    codec: bool = False
    rebuild: bool = False
    backwards: bool = False
    watch: bool = False
    note: bool = False
    forget: bool = False
    quarantine: bool = False
    trained: dict[int, Trained] = field(default_factory=dict)
    rounds: list[SimulatedRound] = field(default_factory=list)
    keeps: dict[int, Tensors] = field(default_factory=dict)
    admitted: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._begun: Round
        self._updates: list[Update] = []
        self.instance = self.strategy
        self.strategy = self._staged(self.instance)
        self.state = self._first_state(self._call("init", self.start, self.server_context()))

    def _first_state(self, state: Any) -> Any:
        return state if self.release is None else self.release.first(state)

    def _staged(self, strategy: Any) -> Any:
        """The strategy behind what watches it."""
        if self.rebuild:
            strategy = stand_in(strategy, Fresh, lambda: self.spec.build(self.params))
        strategy = self._traced = stand_in(strategy, Traced)
        if self.watch:
            strategy = stand_in(strategy, Watched, self.spec.name)
        strategy = stand_in(strategy, Gathering, self._gathered)
        return stand_in(strategy, Noted, self.trained) if self.note else strategy

    def run(self, n_rounds: int = 3) -> Simulation:
        """Simulate rounds (none for a strategy that trains nothing) and return self."""
        for _ in range(n_rounds if self.spec.cohort != "none" else 0):
            self._one_round(len(self.rounds))
        return self

    def export(self, client_id: int | None = None) -> Any:
        """The strategy's export after the last round: tensors, or a `Model` when the backbone was changed."""
        keep = own_part(self.keeps.get(client_id, {})) if client_id is not None else {}
        ctx = None if client_id is None else self.context(len(self.rounds), client_id, keep)
        return self._call("export", own(self.state), ctx)

    def exported(self, client_id: int | None = None) -> Tensors | None:
        """The export as one map."""
        found = self.export(client_id)
        return named_tensors(found) if isinstance(found, Model) else found

    def function(self, client_id: int | None = None) -> torch.Tensor:
        """The toy weight of shape (3,) that the export gives."""
        return function_of(self.adapted, self.export(client_id))

    def outcome(self) -> list[Tensors | None]:
        """What a run leaves behind: the state's tensors, the global export, every client's own, and private states."""
        from safetensors.torch import load

        exports = [self.exported(), *(self.exported(i) for i in range(self.n_clients))]
        return [load(encode_state(self.state)), *exports, *(self.keeps[i] for i in sorted(self.keeps))]

    def _call(self, method: str, *arguments: Any) -> Any:
        with self._located(), guarded(f"{self.spec.name}.{method}"):
            return getattr(self.strategy, method)(*arguments)

    @contextlib.contextmanager
    def _located(self) -> Iterator[None]:
        """What is raised inside belongs to where the strategy was called last."""
        try:
            yield
        except BaseException:
            with at(self._traced.last):
                raise

    def _one_round(self, round_index: int) -> None:
        engine = _Engine(backwards=self.backwards)
        this = self._begun = Round(
            experiment=self,
            index=round_index,
            state=self.state,
            work=self.work,
            engine=engine,
            keep=lambda client_id: self.keeps.get(client_id, {}),
            admitted_in=self.admitted,
        )
        with self._located():
            try:
                self.state = this.aggregate()
            except RoundFailed:
                self._tell(this)
                raise
        refused = {one.client_id for one in this.quarantined}
        self.admitted |= dict.fromkeys((i for i in self.cohort(round_index) if i not in refused), round_index)
        self._keep(this.new_keeps)
        if self.codec:
            self._store_and_read()
        self.rounds.append(
            SimulatedRound(
                payloads=engine.payloads,
                updates=tuple(self._updates),
                ledger=tuple(this.ledger),
                messages=tuple(engine.messages),
                quarantined=tuple(this.quarantined),
                state=self.state,
            )
        )

    def _gathered(self, updates: list[Update]) -> list[Update]:
        self._tell(self._begun)
        self._updates = [Update(self._ordered(one.tensors), one.n_examples) for one in updates]
        return self._updates

    def _tell(self, this: Round) -> None:
        if this.quarantined and not self.quarantine:
            raise WireError(this.quarantined[0].code, this.quarantined[0].message)

    def _keep(self, new: Mapping[int, Tensors]) -> None:
        for client_id, keep in new.items():
            dropped = own_part(keep) if self.forget else {}
            self.keeps[client_id] = {name: tensor for name, tensor in keep.items() if name not in dropped}

    def _store_and_read(self) -> None:
        from safetensors.torch import load

        like = self._first_state(self.spec.build(self.params).init(self.start, self.server_context()))
        self.state = decode_state(encode_state(self.state), like)
        self.keeps = {client_id: load(pieces(keep).whole()) for client_id, keep in self.keeps.items()}


class _Engine:
    """Works off the tasks of a round here, in their order or the opposite one, and has what travelled."""

    def __init__(self, *, backwards: bool) -> None:
        self._backwards = backwards
        self.payloads: dict[int, Tensors] = {}
        self.messages: list[Message | bytes] = []

    def run(self, tasks: Iterable[ClientTask], work: Work) -> Iterator[ClientOutcome]:
        """The outcomes, in the order of the tasks."""
        todo = list(tasks)
        for task in todo:
            if task.message is not None:
                self.messages.append(task.message)
                self.payloads[task.client_id] = decode(task.message)[1]
        outcomes = [work.run(one) for one in reversed(todo)][::-1] if self._backwards else map(work.run, todo)
        for outcome in outcomes:
            if outcome.message is not None:
                self.messages.append(outcome.message)
            yield outcome

    def close(self) -> None:
        """There is nothing to give back."""
