"""Everything one run needs, built from its spec: components, data, adapted backbone; and how it is measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from fedgen_bench.engines.local import LocalEngine
from fedgen_bench.errors import Diverged
from fedgen_bench.killpoints import passing
from fedgen_bench.records import ClientContext, Examples, Tensors
from fedgen_bench.seeds import guarded_globals
from fedgen_bench.trainer import TrainingPlan, autocast, dump_tensors, load_tensors
from fedgen_bench.world import POOLED_CLIENT, Population, Worlds, build, seed_tree

if TYPE_CHECKING:
    from fedgen_bench.plugins import Registry
    from fedgen_bench.protocols import Metric
    from fedgen_bench.suites import RunSpec


@dataclass(frozen=True)
class Setting:
    """Everything a run needs, built from its spec: components, data, adapted backbone."""

    spec: RunSpec
    strategy: Any
    cohort_kind: str
    engine: LocalEngine
    population: Population
    metrics: Mapping[str, Metric]
    lower_is_better: bool
    start: Tensors
    device: torch.device

    @classmethod
    def make(cls, spec: RunSpec, registry: Registry, worlds: Worlds, device: torch.device) -> Setting:
        """Load task, split data, attach the adapter, build the strategy."""
        config = spec.config
        task = worlds.task(config)
        passing("cell.loaded")
        population = worlds.population(config)
        passing("cell.partitioned")
        strategy_spec = registry.get("strategy", config["contender"]["strategy"]["name"]).spec
        strategy = build(registry, "strategy", config["contender"]["strategy"])
        with guarded_globals("The adapter"):
            adapted = build(registry, "adapter", config["contender"]["adapter"]).attach(
                task.new_module(), seed_tree(config)
            )
        adapted.module.to(device).eval()
        training = config["training"]
        plan = TrainingPlan(
            training["optimizer"], config["contender"]["learning_rate"], training["weight_decay"],
            training["batch_size"],
            training["local_steps"], training["local_epochs"], training["clip_norm"], training["precision"],
        )  # fmt: skip
        names = [config["evaluation"]["metric"], *config["evaluation"]["other_metrics"]]
        metrics = {name: build(registry, "metric", {"name": name, "params": {}}) for name in names}
        engine = LocalEngine(strategy, adapted, task, plan, strategy_spec.fits_per_round)
        lower = registry.get("metric", names[0]).spec.lower_is_better
        return cls(
            spec,
            strategy,
            strategy_spec.cohort,
            engine,
            population,
            metrics,
            lower,
            dump_tensors(adapted.trainable),
            device,
        )

    @property
    def config(self) -> Mapping[str, Any]:
        """The run's resolved config."""
        return self.spec.config

    @property
    def n_clients(self) -> int:
        """The population that the strategy sees."""
        return 1 if self.cohort_kind == "pooled" else len(self.population.parts)

    @property
    def n_rounds(self) -> int:
        """Rounds to run; none when nothing is trained."""
        return 0 if self.cohort_kind == "none" else self.config["federation"]["rounds"]

    def cohort(self, round_index: int) -> tuple[int, ...]:
        """Client ids of a round, ascending; one pseudo-client when the data are pooled."""
        return (POOLED_CLIENT,) if self.cohort_kind == "pooled" else self.population.schedule[round_index]

    def examples(self, client_id: int) -> Examples:
        """The training examples a client of this run works on."""
        return self.population.pooled if self.cohort_kind == "pooled" else self.population.client(client_id).train

    def local_steps(self, round_index: int, client_id: int) -> int:
        """The step budget of one fit; the pooled data get the sum of what the round's clients would."""
        steps_for = self.engine.plan.steps_for
        if self.cohort_kind == "pooled" and round_index < self.n_rounds:
            return sum(steps_for(self.population.client(i).train.n) for i in self.population.schedule[round_index])
        return steps_for(self.examples(client_id).n)

    def context(self, round_index: int, client_id: int, keep: Tensors) -> ClientContext:
        """What the strategy is told about a client in a round."""
        return ClientContext(
            round_index, client_id, self.n_clients, self.examples(client_id).n, self.start, keep,
            self.local_steps(round_index, client_id), self.engine.plan.learning_rate, seed_tree(self.config),
        )  # fmt: skip

    def measure(self, tensors: Tensors, data: Any) -> dict[str, float]:
        """All metrics of the adapted backbone with these tensors. Raises Diverged when one is not finite."""
        load_tensors(self.engine.adapted.trainable, tensors)
        self.engine.adapted.module.eval()
        with torch.inference_mode(), autocast(self.device, self.config["training"]["precision"]):
            evidence = self.engine.task.observe(self.engine.adapted.module, data, seed_tree(self.config))
        measured = {name: metric.compute(evidence) for name, metric in self.metrics.items()}
        for name, value in measured.items():
            if not math.isfinite(value):
                raise Diverged(f"{name} of the trained model is {value}.")
        return measured

    def export(self, state: Any, ctx: ClientContext | None) -> Tensors | None:
        """The strategy's export, watched."""
        with guarded_globals("The strategy's export"):
            return self.strategy.export(state, ctx)  # type: ignore[no-any-return]
