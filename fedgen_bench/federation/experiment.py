"""One cell, assembled: its components, its clients and its adapted backbone; what its strategy is told and asked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.errors import PluginError
from fedgen_bench.base.guards import guarded
from fedgen_bench.contract.contexts import ClientContext, RoundContext, ServerContext
from fedgen_bench.contract.copies import lazily_copied
from fedgen_bench.contract.data import Examples, Tensors
from fedgen_bench.contract.lowrank import truncated
from fedgen_bench.contract.messages import Fit, Model
from fedgen_bench.contract.protocols import Personalizing
from fedgen_bench.federation.client_work import ClientWork
from fedgen_bench.federation.evaluation_work import EvaluationWork
from fedgen_bench.federation.population import POOLED_CLIENT, Population
from fedgen_bench.federation.release import own
from fedgen_bench.federation.seeding import seed_tree

if TYPE_CHECKING:
    from fedgen_bench.contract.adapting import Adapted
    from fedgen_bench.contract.protocols import Attack, Strategy, Task
    from fedgen_bench.contract.seeds import SeedTree
    from fedgen_bench.federation.blueprint import Blueprint
    from fedgen_bench.federation.evaluation import Evaluator
    from fedgen_bench.federation.fleet import Fleet
    from fedgen_bench.federation.link import Link
    from fedgen_bench.federation.release import Release
    from fedgen_bench.federation.trainer import TrainingPlan
    from fedgen_bench.suite.cellconfig import CellConfig
    from fedgen_bench.suite.cells import CellSpec


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Everything that one cell needs; `assembly.assemble` builds it from its spec.

    Args:
        cohort_kind: of the strategy, see `StrategySpec`.
        max_fits: step budgets that a client may use in a round.
        start: the adapter's initial tensors.
        attack: what hostile clients do; None where there are none.
        attackers: who they are.
        fleet: what clients run on; None where the suite has no devices.
        partial_work: of the strategy, see `StrategySpec`.
        release: what stands between the gate and the strategy; None where there is nothing.
    """

    spec: CellSpec
    strategy: Strategy
    cohort_kind: str
    max_fits: int
    task: Task
    adapted: Adapted
    plan: TrainingPlan
    population: Population
    evaluator: Evaluator
    start: Tensors
    link: Link
    attack: Attack | None
    attackers: frozenset[int]
    fleet: Fleet | None = None
    partial_work: bool = False
    release: Release | None = None

    def work(self, blueprint: Blueprint | None = None) -> ClientWork:
        """What works off this cell's client tasks."""
        return ClientWork(
            strategy=self.strategy,
            adapted=self.adapted,
            task=self.task,
            plan=self.plan,
            max_fits=self.max_fits,
            context=self.context,
            examples=self.examples,
            link=self.link,
            attack=self.attack,
            attackers=self.attackers,
            blueprint=blueprint,
            cohort=1 if blueprint is None else blueprint.cohort,
            evaluation=EvaluationWork(
                evaluator=self.evaluator, clients=self.population.client, seeds=seed_tree(self.spec)
            ),
        )

    @cached_property
    def _seeds(self) -> SeedTree:
        return seed_tree(self.spec)

    @property
    def config(self) -> CellConfig:
        """Everything that determines the result."""
        return self.spec.config

    @property
    def strategy_name(self) -> str:
        """What messages call the strategy's code."""
        return type(self.strategy).__name__

    @property
    def n_clients(self) -> int:
        """The population that the strategy sees."""
        return 1 if self.cohort_kind == "pooled" else len(self.population.parts)

    @property
    def n_rounds(self) -> int:
        """Rounds to run; none when nothing is trained."""
        return 0 if self.cohort_kind == "none" else self.config.federation.rounds

    @property
    def quorum(self) -> int:
        """Valid updates below which a round fails."""
        return 1 if self.cohort_kind == "pooled" else self.config.federation.min_updates

    def cohort(self, round_index: int) -> tuple[int, ...]:
        """Client ids of a round, ascending; one pseudo-client when the data are pooled."""
        return (POOLED_CLIENT,) if self.cohort_kind == "pooled" else self.population.cohort(round_index)

    def examples(self, client_id: int) -> Examples:
        """The training examples a client of this cell works on."""
        return self.population.pooled if self.cohort_kind == "pooled" else self.population.client(client_id).train

    def n_examples(self, client_id: int) -> int:
        """How many these are, without preparing them."""
        return self.population.n_pooled if self.cohort_kind == "pooled" else self.population.n_train(client_id)

    def local_steps(self, round_index: int, client_id: int) -> int:
        """The step budget of one fit; the pooled data get the sum of what the round's clients would."""
        steps_for = self.plan.steps_for
        if self.cohort_kind == "pooled" and round_index < self.n_rounds:
            return sum(steps_for(self.population.n_train(i)) for i in self.population.cohort(round_index))
        return steps_for(self.n_examples(client_id))

    def server_context(self) -> ServerContext:
        """What the strategy is told before the first round."""
        per_round = self.config.federation.clients_per_round
        return ServerContext(self.n_clients, per_round, self._seeds, self.adapted.low_rank)

    def round_context(self, round_index: int) -> RoundContext:
        """What the strategy is told when it aggregates."""
        seeds = self._seeds
        return RoundContext(round_index, self.cohort(round_index), self.n_clients, seeds, self.adapted.low_rank)

    def arrival_context(self, round_index: int, client_id: int) -> RoundContext:
        """What the strategy is told when it absorbs one client's update."""
        return replace(self.round_context(round_index), cohort=(client_id,))

    def context(self, round_index: int, client_id: int, keep: Tensors, kept_in: int = -1) -> ClientContext:
        """What the strategy is told about a client in a round."""
        ranks = self.adapted.ranks_of(client_id)
        return ClientContext(
            round_index=round_index,
            client_id=client_id,
            n_clients=self.n_clients,
            n_examples=self.n_examples(client_id),
            start=truncated(self.start, ranks),
            keep=keep,
            local_steps=self.local_steps(round_index, client_id),
            learning_rate=self.plan.learning_rate_in(round_index),
            seeds=self._seeds,
            kept_in=kept_in,
            low_rank=ranks,
        )

    def last_context(self, client_id: int, keep: Tensors) -> ClientContext:
        """What the strategy is told about a client after the last round."""
        return self.context(self.n_rounds, client_id, keep)

    def first_state(self) -> Any:
        """The strategy's state before the first round, watched."""
        start = {name: lazily_copied(tensor) for name, tensor in self.start.items()}
        with guarded(f"{self.strategy_name}.init", start=start):
            state = self.strategy.init(dict(start), self.server_context())
        return state if self.release is None else self.release.first(state)

    def export(self, state: Any, ctx: ClientContext | None) -> Model | None:
        """The strategy's export, watched."""
        with guarded(f"{self.strategy_name}.export", state=state, ctx=ctx):
            exported = self.strategy.export(own(state), ctx)
        return exported if exported is None or isinstance(exported, Model) else Model(exported)

    def personalize(self, state: Any, ctx: ClientContext, model: Model) -> Fit:
        """How a client goes on from its exported model: as the strategy says, or by training all of it.

        Raises:
            PluginError: the strategy says it with something else than a `Fit`.
        """
        if not isinstance(self.strategy, Personalizing):
            return Fit(model.tensors, merges=model.merges)
        with guarded(f"{self.strategy_name}.personalize", state=state, ctx=ctx):
            request = self.strategy.personalize(own(state), ctx)
        if not isinstance(request, Fit):
            raise PluginError(f"{self.strategy_name}.personalize returned a {type(request).__name__}. Return a `Fit`.")
        return request
