"""Federated rounds of a strategy on the toy world: milliseconds, nothing but the engine, the wire and the gate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.guards import guarded
from fedgen_bench.contract.adapting import Adapted, FoldableBackbone
from fedgen_bench.contract.contexts import ClientContext, LowRank, RoundContext, ServerContext
from fedgen_bench.contract.data import Examples, Tensors
from fedgen_bench.contract.lowrank import truncated
from fedgen_bench.contract.messages import Model, Update
from fedgen_bench.contract.reports import LedgerEntry
from fedgen_bench.contract.seeds import SeedTree
from fedgen_bench.contract.specs import StrategySpec
from fedgen_bench.testing import toy
from fedgen_bench.testing.places import at
from fedgen_bench.testing.watching import Noted, Trained, Watched, fingerprint, same_bits

if TYPE_CHECKING:
    import torch

    from fedgen_bench.contract.engines import ClientOutcome
    from fedgen_bench.federation.client_work import ClientWork
    from fedgen_bench.federation.exchange import Exchange

__all__ = [
    "LOW_RANK", "SEEDS", "SHARDS", "Round", "Simulation", "fingerprint", "function_of", "low_rank_module", "same_bits",
    "split_module",
]  # fmt: skip
LOW_RANK = (
    LowRank("first", "first.lora_A.weight", "first.lora_B.weight", 2, 1.5),
    LowRank("second", "second.lora_A.weight", "second.lora_B.weight", 2, 0.5),
)
SHARDS = (range(8), range(8, 31), range(31, 36), range(36, 50), range(50, 60))
SEEDS = SeedTree("toy", "split", "shards", "contract", 5)


def split_module(left: Sequence[float] = (0.0, 0.0), right: Sequence[float] = (0.0,)) -> Adapted:
    """The toy model with its three numbers in two tensors, so that names, shapes and orders matter."""
    import torch

    class Split(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left = torch.nn.Parameter(torch.tensor(left))
            self.right = torch.nn.Parameter(torch.tensor(right).reshape(1, 1))

        @property
        def weight(self) -> torch.Tensor:
            return torch.cat([self.left, self.right.flatten()])

    module = Split().eval()
    return Adapted(module, {"left": module.left, "right": module.right})


def low_rank_module(client_ranks: Sequence[int] = ()) -> Adapted:
    """The toy model as weight = sum over two modules of (W0 + scale * B A) u, with LoRA factors of rank 2.

    W0 has shapes (3, 4) and (3, 3), u is a fixed input; A is random, B is 0.
    """
    import torch

    generator = torch.Generator().manual_seed(7)

    class Layer(torch.nn.Module):
        def __init__(self, pair: LowRank, n_in: int) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.randn(toy.WIDTH, n_in, generator=generator), requires_grad=False)
            self.a = torch.nn.Parameter(0.5 * torch.randn(pair.rank, n_in, generator=generator))
            self.b = torch.nn.Parameter(torch.zeros(toy.WIDTH, pair.rank))
            self.scale, self.u = pair.scale, torch.linspace(0.2, 0.5, n_in)

        def output(self) -> torch.Tensor:
            return self.weight @ self.u + self.scale * self.b @ (self.a @ self.u)

    layers = {pair.module: Layer(pair, n_in) for pair, n_in in zip(LOW_RANK, (4, 3), strict=True)}

    class Sum(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.ModuleDict(layers)

        @property
        def weight(self) -> torch.Tensor:
            return torch.stack([layer.output() for layer in layers.values()]).sum(dim=0)

    trainable = {
        name: factor
        for pair in LOW_RANK
        for name, factor in ((pair.a, layers[pair.module].a), (pair.b, layers[pair.module].b))
    }
    return Adapted(Sum().eval(), trainable, LOW_RANK, tuple(client_ranks), FoldableBackbone(layers))


def function_of(adapted: Adapted, model: Model | Tensors) -> torch.Tensor:
    """The toy weight of shape (3,) that a model gives, whatever its factors are."""
    import torch

    from fedgen_bench.federation.parameters import load_tensors

    whole = model if isinstance(model, Model) else Model(model)
    adapted.fold(whole.merges)
    load_tensors(adapted.trainable, whole.tensors, adapted.low_rank)
    module: Any = adapted.module
    with torch.no_grad():
        weight: torch.Tensor = module.weight.clone()
    return weight


@dataclass(frozen=True)
class Round:
    """One simulated round: what was sent, what came back admitted, the booked messages and the state after it."""

    payloads: Mapping[int, Tensors]
    updates: tuple[Update, ...]
    ledger: tuple[LedgerEntry, ...]
    messages: tuple[bytes, ...]
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
    trained: dict[int, Trained] = field(default_factory=dict)
    rounds: list[Round] = field(default_factory=list)
    keeps: dict[int, Tensors] = field(default_factory=dict)
    admitted: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        from fedgen_bench.federation.parameters import dump_tensors
        from fedgen_bench.federation.trainer import TrainingPlan

        self.params = self.spec.params() if self.params is None else self.params
        self.task = toy.LoadedToy(toy.Params())
        if self.low_rank is None:
            self.low_rank = self.spec.low_rank or self.spec.changes_backbone
        self.adapted = low_rank_module(self.client_ranks) if self.low_rank else split_module((0.5, -1.0), (2.0,))
        self.plan = TrainingPlan(optimizer="sgd", learning_rate=0.1, batch_size=4, local_steps=self.n_steps)
        self._strategy = self.spec.build(self.params)
        self.start = dump_tensors(self.adapted.trainable)
        self.n_clients = 1 if self.spec.cohort == "pooled" else len(self.shards)
        self.state = self._call("init", self.start, self.server_context())

    @property
    def strategy(self) -> Any:
        """The instance, a fresh one under `rebuild`."""
        return self.spec.build(self.params) if self.rebuild else self._strategy

    @property
    def work(self) -> ClientWork:
        """What works off the clients' tasks."""
        from fedgen_bench.federation.client_work import ClientWork

        strategy: Any = Watched(self.strategy) if self.watch else self.strategy
        strategy = Noted(strategy, self.trained) if self.note else strategy
        return ClientWork(
            strategy=strategy,
            adapted=self.adapted,
            task=self.task,
            plan=self.plan,
            max_fits=self.spec.fits_per_round,
            context=self.context,
            examples=self.examples,
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
        from fedgen_bench.federation.client_states import own_part

        keep = own_part(self.keeps.get(client_id, {})) if client_id is not None else {}
        ctx = None if client_id is None else self.context(len(self.rounds), client_id, keep)
        return self._call("export", self.state, ctx)

    def exported(self, client_id: int | None = None) -> Tensors | None:
        """The export as one map."""
        from fedgen_bench.federation.final_result import named_tensors

        found = self.export(client_id)
        return named_tensors(found) if isinstance(found, Model) else found

    def function(self, client_id: int | None = None) -> torch.Tensor:
        """The toy weight of shape (3,) that the export gives."""
        return function_of(self.adapted, self.export(client_id))

    def outcome(self) -> list[Tensors | None]:
        """What a run leaves behind: the state's tensors, the global export, every client's own, and private states."""
        from safetensors.torch import load

        from fedgen_bench.federation.statecodec import encode_state

        exports = [self.exported(), *(self.exported(i) for i in range(self.n_clients))]
        return [load(encode_state(self.state)), *exports, *(self.keeps[i] for i in sorted(self.keeps))]

    def _ordered(self, tensors: Tensors) -> Tensors:
        return dict(reversed(list(tensors.items()))) if self.reorder else tensors

    def _call(self, method: str, *arguments: Any) -> Any:
        before = fingerprint(arguments) if self.watch else None
        call = getattr(self.strategy, method)
        with at(call):
            with guarded(f"{self.spec.name}.{method}"):
                result = call(*arguments)
            unchanged = before is None or fingerprint(arguments) == before
            assert unchanged, f"{self.spec.name}.{method} changed its arguments"
        return result

    def _one_round(self, round_index: int) -> None:
        from fedgen_bench.federation.exchange import begin
        from fedgen_bench.federation.link import Link
        from fedgen_bench.federation.wire import decode

        link = Link()
        ledger: list[LedgerEntry] = []
        messages: list[bytes] = []
        exchanges: dict[int, Exchange] = {}
        travelled: dict[int, Tensors] = {}
        tasks = []
        for client_id in self.cohort(round_index):
            ctx = self.context(round_index, client_id, {}, self.admitted.get(client_id, -1))
            payload = self._call("send", self.state, ctx)
            task, exchanges[client_id] = begin(link, payload, ctx, self.keeps.get(client_id, {}))
            tasks.append(task)
            if task.message is not None:
                travelled[client_id] = decode(task.message)[1]
                messages.append(task.message)
                ledger += filter(None, [exchanges[client_id].down])
        work = self.work
        with at(self._strategy.client):
            outcomes = sorted(map(work.run, tasks[::-1] if self.backwards else tasks), key=lambda one: one.client_id)
        updates = []
        for outcome in outcomes:
            exchange = exchanges[outcome.client_id]
            if outcome.message is not None:
                messages.append(outcome.message)
                ledger += filter(None, [exchange.booked(outcome)])
            update = exchange.admitted(outcome, "ClientWork.run")
            updates.append(Update(self._ordered(update.tensors), update.n_examples))
            self._keep(outcome, exchange)
            self.admitted[outcome.client_id] = round_index
        before = fingerprint(updates) if self.watch else None
        self.state = self._call("aggregate", self.state, _once(updates), self.round_context(round_index))
        assert before is None or fingerprint(updates) == before, f"{self.spec.name}.aggregate changed an update"
        if self.codec:
            self._store_and_read()
        self.rounds.append(Round(travelled, tuple(updates), tuple(ledger), tuple(messages), self.state))

    def _keep(self, outcome: ClientOutcome, exchange: Exchange) -> None:
        from fedgen_bench.federation.client_states import own_part

        keep = exchange.kept(outcome, lambda client_id: self.keeps.get(client_id, {}))
        if keep is not None and self.forget:
            keep = {name: tensor for name, tensor in keep.items() if name not in own_part(keep)}
        if keep:
            self.keeps[outcome.client_id] = keep

    def _store_and_read(self) -> None:
        from safetensors.torch import load, save

        from fedgen_bench.federation import wire
        from fedgen_bench.federation.statecodec import decode_state, encode_state

        like = self.spec.build(self.params).init(self.start, self.server_context())
        self.state = decode_state(encode_state(self.state), like)
        self.keeps = {client_id: load(save(wire.owned(keep))) for client_id, keep in self.keeps.items()}


def _once(updates: Sequence[Update]) -> Iterator[Update]:
    yield from updates
