"""Federated rounds of a strategy in the toy world: the rounds that run, in milliseconds."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.errors import RoundFailed, WireError
from fedgen_bench.base.guards import guarded
from fedgen_bench.contract.contexts import ClientContext, RoundContext, ServerContext
from fedgen_bench.contract.data import Examples, Tensors
from fedgen_bench.contract.engines import ClientOutcome, ClientTask, Work
from fedgen_bench.contract.lowrank import truncated
from fedgen_bench.contract.messages import Model, Update
from fedgen_bench.contract.reports import LedgerEntry, Quarantine
from fedgen_bench.contract.seeds import SeedTree
from fedgen_bench.contract.specs import StrategySpec
from fedgen_bench.federation.client_states import own_part
from fedgen_bench.federation.client_work import ClientWork
from fedgen_bench.federation.final_result import named_tensors
from fedgen_bench.federation.link import Link
from fedgen_bench.federation.parameters import dump_tensors
from fedgen_bench.federation.round import Round
from fedgen_bench.federation.statecodec import decode_state, encode_state
from fedgen_bench.federation.trainer import TrainingPlan
from fedgen_bench.federation.wire import decode, owned
from fedgen_bench.testing import toy
from fedgen_bench.testing.locations import at
from fedgen_bench.testing.stand_ins import Fresh, Gathering, Noted, Traced, Trained, Watched, stand_in
from fedgen_bench.testing.toy_models import function_of, low_rank_module, split_module

if TYPE_CHECKING:
    import torch

    from fedgen_bench.contract.protocols import Attack

SHARDS = (range(8), range(8, 31), range(31, 36), range(36, 50), range(50, 60))
SEEDS = SeedTree("toy", "split", "shards", "contract", 5)


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
    messages: tuple[bytes, ...]
    quarantined: tuple[Quarantine, ...]
    state: Any


@dataclass
class Simulation:
    """A small federation for one strategy.

    Args:
        spec: the strategy under test.
        params: of its `params` type; the defaults when None.
        shards: unit indices of each client's training examples.
        codec: store and read back state and private states after every round, as a resumed run does.
        rebuild: build the strategy anew before every call, so that nothing can hide in the instance.
        backwards: train a round's clients in descending order; updates are aggregated in ascending order all the same.
        reorder: hand every tensor map over with its names in the opposite order.
        watch: compare every argument of every call with a copy taken before it.
        client_ranks: of the low-rank toy model, see `Adapted`.
        n_steps: local steps of a fit.
        low_rank: train the toy model of LoRA factors; what the strategy declares when None.
        note: remember every client's last fit in `trained`.
        forget: drop the strategy's part of every private state after each round.
        link: compressors, and the gate's bound.
        attack: what the clients `attackers` do.
        quarantine: go on without what the gate refuses, as a run does; raise it when False.
    """

    spec: StrategySpec
    params: Any = None
    shards: Sequence[Sequence[int]] = SHARDS
    codec: bool = False
    rebuild: bool = False
    backwards: bool = False
    reorder: bool = False
    watch: bool = False
    client_ranks: Sequence[int] = ()
    n_steps: int = 2
    low_rank: bool | None = None
    note: bool = False
    forget: bool = False
    link: Link = field(default_factory=Link)
    attack: Attack | None = None
    attackers: frozenset[int] = frozenset()
    quarantine: bool = False
    trained: dict[int, Trained] = field(default_factory=dict)
    rounds: list[SimulatedRound] = field(default_factory=list)
    keeps: dict[int, Tensors] = field(default_factory=dict)
    admitted: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.params = self.spec.params() if self.params is None else self.params
        self.task = toy.LoadedToy(toy.Params())
        if self.low_rank is None:
            self.low_rank = self.spec.low_rank or self.spec.changes_backbone
        self.adapted = low_rank_module(self.client_ranks) if self.low_rank else split_module((0.5, -1.0), (2.0,))
        self.plan = TrainingPlan(optimizer="sgd", learning_rate=0.1, batch_size=4, local_steps=self.n_steps)
        self.start = dump_tensors(self.adapted.trainable)
        self.n_clients = 1 if self.spec.cohort == "pooled" else len(self.shards)
        self._begun: Round
        self._updates: list[Update] = []
        self.instance = self.spec.build(self.params)
        self.strategy = self._staged(self.instance)
        self.state = self._call("init", self.start, self.server_context())

    def _staged(self, strategy: Any) -> Any:
        """The strategy behind what watches it."""
        if self.rebuild:
            strategy = stand_in(strategy, Fresh, lambda: self.spec.build(self.params))
        strategy = self._traced = stand_in(strategy, Traced)
        if self.watch:
            strategy = stand_in(strategy, Watched, self.spec.name)
        strategy = stand_in(strategy, Gathering, self._gathered)
        return stand_in(strategy, Noted, self.trained) if self.note else strategy

    @property
    def strategy_name(self) -> str:
        """What messages call the strategy's code."""
        return self.spec.name

    @property
    def cohort_kind(self) -> str:
        """The strategy's."""
        return self.spec.cohort

    @property
    def quorum(self) -> int:
        """One update will do."""
        return 1

    @property
    def work(self) -> ClientWork:
        """What works off the clients' tasks."""
        return ClientWork(
            strategy=self.strategy,
            adapted=self.adapted,
            task=self.task,
            plan=self.plan,
            max_fits=self.spec.fits_per_round,
            context=self.context,
            examples=self.examples,
            link=self.link,
            attack=self.attack,
            attackers=self.attackers,
        )

    def server_context(self) -> ServerContext:
        """What the strategy is told before the first round."""
        return ServerContext(self.n_clients, self.n_clients, SEEDS, self.adapted.low_rank)

    def round_context(self, round_index: int) -> RoundContext:
        """What the strategy is told when it aggregates."""
        return RoundContext(round_index, self.cohort(round_index), self.n_clients, SEEDS, self.adapted.low_rank)

    def examples(self, client_id: int) -> Examples:
        """A client's points; everybody's when data are pooled."""
        units = [unit for shard in self.shards for unit in shard]
        chosen = units if self.spec.cohort == "pooled" else list(self.shards[client_id])
        return Examples({"x": self.task.points[chosen]}, len(chosen))

    def context(self, round_index: int, client_id: int, keep: Tensors, kept_in: int = -1) -> ClientContext:
        """What the strategy is told."""
        ranks = self.adapted.ranks_of(client_id)
        return ClientContext(
            round_index=round_index,
            client_id=client_id,
            n_clients=self.n_clients,
            n_examples=self.examples(client_id).n,
            start=self._ordered(truncated(self.start, ranks)),
            keep=self._ordered(keep),
            local_steps=self.n_steps,
            learning_rate=self.plan.learning_rate,
            seeds=SEEDS,
            kept_in=kept_in,
            low_rank=ranks,
        )

    def cohort(self, round_index: int) -> tuple[int, ...]:
        """Everybody who has data but one, another one each round; all of them when there are at most two."""
        everyone = tuple(i for i in range(self.n_clients) if self.examples(i).n)
        left_out = everyone[round_index % len(everyone)] if len(everyone) > 2 else None  # noqa: PLR2004 - see above
        return tuple(i for i in everyone if i != left_out)

    def run(self, n_rounds: int = 3) -> Simulation:
        """Simulate rounds (none for a strategy that trains nothing) and return self."""
        for _ in range(n_rounds if self.spec.cohort != "none" else 0):
            self._one_round(len(self.rounds))
        return self

    def export(self, client_id: int | None = None) -> Any:
        """The strategy's export after the last round: tensors, or a `Model` when the backbone was changed."""
        keep = own_part(self.keeps.get(client_id, {})) if client_id is not None else {}
        ctx = None if client_id is None else self.context(len(self.rounds), client_id, keep)
        return self._call("export", self.state, ctx)

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

    def _ordered(self, tensors: Tensors) -> Tensors:
        return dict(reversed(list(tensors.items()))) if self.reorder else tensors

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
            admitted=self.admitted,
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
        from safetensors.torch import load, save

        like = self.spec.build(self.params).init(self.start, self.server_context())
        self.state = decode_state(encode_state(self.state), like)
        self.keeps = {client_id: load(save(owned(keep))) for client_id, keep in self.keeps.items()}


class _Engine:
    """Works off the tasks of a round here, in their order or the opposite one, and has what travelled."""

    def __init__(self, *, backwards: bool) -> None:
        self._backwards = backwards
        self.payloads: dict[int, Tensors] = {}
        self.messages: list[bytes] = []

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
