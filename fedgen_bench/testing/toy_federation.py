"""A small federation in the toy world: who holds which points, who is asked, what a strategy is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any

from fedgen_bench.contract.contexts import ClientContext, RoundContext, ServerContext
from fedgen_bench.contract.data import Examples, Tensors
from fedgen_bench.contract.lowrank import truncated
from fedgen_bench.contract.seeds import SeedTree
from fedgen_bench.contract.specs import StrategySpec
from fedgen_bench.federation.client_work import ClientWork
from fedgen_bench.federation.link import Link
from fedgen_bench.federation.parameters import dump_tensors
from fedgen_bench.federation.release import Release
from fedgen_bench.federation.trainer import TrainingPlan
from fedgen_bench.testing import toy
from fedgen_bench.testing.toy_models import low_rank_module, split_module

if TYPE_CHECKING:
    from fedgen_bench.contract.protocols import Attack

SHARDS = (range(8), range(8, 31), range(31, 36), range(36, 50), range(50, 60))
SEEDS = SeedTree("toy", "split", "shards", "contract", 5)


@dataclass
class ToyFederation:
    """What a round must know (`federation.round.Conditions`), for one strategy on the toy world's points.

    Args:
        spec: the strategy.
        params: of its `params` type; the defaults when None.
        shards: unit indices of each client's training examples.
        reorder: hand every tensor map over with its names in the opposite order.
        client_ranks: of the low-rank toy model, see `Adapted`.
        n_steps: local steps of a fit.
        low_rank: train the toy model of LoRA factors; what the strategy declares when None.
        link: compressors, and the gate's bound.
        attack: what the clients `attackers` do.
        release: what stands between the gate and the strategy.
    """

    spec: StrategySpec
    params: Any = None
    _: KW_ONLY
    shards: Sequence[Sequence[int]] = SHARDS
    reorder: bool = False
    client_ranks: Sequence[int] = ()
    n_steps: int = 2
    low_rank: bool | None = None
    link: Link = field(default_factory=Link)
    attack: Attack | None = None
    attackers: frozenset[int] = frozenset()
    release: Release | None = None

    def __post_init__(self) -> None:
        self.params = self.spec.params() if self.params is None else self.params
        self.task = toy.LoadedToy(toy.Params())
        if self.low_rank is None:
            self.low_rank = self.spec.low_rank or self.spec.changes_backbone
        self.adapted = low_rank_module(self.client_ranks) if self.low_rank else split_module((0.5, -1.0), (2.0,))
        self.plan = TrainingPlan(optimizer="sgd", learning_rate=0.1, batch_size=4, local_steps=self.n_steps)
        self.start = dump_tensors(self.adapted.trainable)
        self.n_clients = 1 if self.spec.cohort == "pooled" else len(self.shards)
        self.strategy: Any = self.spec.build(self.params)

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
        return ServerContext(self.n_clients, len(self.cohort(0)), SEEDS, self.adapted.low_rank)

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
            learning_rate=self.plan.learning_rate_in(round_index),
            seeds=SEEDS,
            kept_in=kept_in,
            low_rank=ranks,
        )

    def cohort(self, round_index: int) -> tuple[int, ...]:
        """Everybody who has data but one, another one each round; all of them when there are at most two."""
        everyone = tuple(i for i in range(self.n_clients) if self.examples(i).n)
        left_out = everyone[round_index % len(everyone)] if len(everyone) > 2 else None  # noqa: PLR2004 - see above
        return tuple(i for i in everyone if i != left_out)

    def _ordered(self, tensors: Tensors) -> Tensors:
        return dict(reversed(list(tensors.items()))) if self.reorder else tensors
