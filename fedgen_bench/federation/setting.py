"""Everything one run needs, built from its spec: components, data, adapted backbone; and how it is measured."""

from __future__ import annotations

import base64
import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from fedgen_bench.base.errors import Diverged, PluginError
from fedgen_bench.base.guards import guarded
from fedgen_bench.base.killpoints import passing
from fedgen_bench.contract.contexts import ClientContext, RoundContext, ServerContext
from fedgen_bench.contract.data import Examples, Tensors
from fedgen_bench.contract.lowrank import truncated
from fedgen_bench.contract.messages import Fit, Model
from fedgen_bench.contract.protocols import PNG_SIGNATURE, Personalizing
from fedgen_bench.contract.seeds import SeedTree
from fedgen_bench.data.catalog import finder
from fedgen_bench.federation.attaching import attach
from fedgen_bench.federation.clients import ClientWork, Recipe
from fedgen_bench.federation.compression import Chain, Uplink
from fedgen_bench.federation.link import Link
from fedgen_bench.federation.trainer import TrainingPlan, autocast, dump_tensors, load_tensors
from fedgen_bench.federation.world import POOLED_CLIENT, Population, Worlds, build, seed_tree
from fedgen_bench.registry.plugins import load_registry

if TYPE_CHECKING:
    from fedgen_bench.contract.adapting import Adapted
    from fedgen_bench.contract.protocols import Metric, Strategy, Task
    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.suite.suites import RunSpec


class _NotGivenError(KeyError):
    """A metric asked for evidence that is not there."""


class _Evidence(dict[str, Any]):
    """A task's evidence, which tells a name that it lacks from a KeyError of the metric's own."""

    def __missing__(self, name: str) -> Any:
        raise _NotGivenError(name)


@dataclass(frozen=True)
class Setting:
    """Everything a run needs, built from its spec: components, data, adapted backbone."""

    spec: RunSpec
    strategy: Strategy
    cohort_kind: str
    max_fits: int
    task: Task
    adapted: Adapted
    plan: TrainingPlan
    population: Population
    metrics: Mapping[str, Metric]
    round_metrics: tuple[str, ...]
    lower_is_better: bool
    start: Tensors
    device: torch.device
    link: Link
    attack: Any
    attackers: frozenset[int]

    @classmethod
    def make(cls, spec: RunSpec, registry: Registry, worlds: Worlds, device: torch.device) -> Setting:
        """Load task, split data, attach the adapter, build the strategy."""
        spec = worlds.resolved(spec)
        config = spec.config
        contender, seeds = config["contender"], seed_tree(spec)
        task = worlds.task(spec)
        passing("cell.loaded")
        population = worlds.population(spec)
        passing("cell.partitioned")
        strategy_spec = registry.get("strategy", contender["strategy"]["name"]).spec
        adapted = attach(registry, contender["adapter"], task, seeds)
        adapted.module.to(device).eval()
        training = config["training"]
        plan = TrainingPlan(
            training["optimizer"], contender["learning_rate"], training["weight_decay"], training["batch_size"],
            training["local_steps"], training["local_epochs"], training["clip_norm"], training["precision"],
            training.get("ema_decay"),
        )  # fmt: skip
        uplink, downlink = (
            Chain(tuple(build(registry, "compressor", one) for one in contender.get(direction, ())))
            for direction in ("uplink", "downlink")
        )
        link = Link(downlink=downlink, uplink=Uplink(uplink), max_update_norm=config["federation"]["max_update_norm"])
        attack = config.get("attack")
        return cls(
            spec=spec,
            strategy=build(registry, "strategy", contender["strategy"]),
            cohort_kind=strategy_spec.cohort,
            max_fits=strategy_spec.fits_per_round,
            task=task,
            adapted=adapted,
            plan=plan,
            population=population,
            metrics={name: build(registry, "metric", {"name": name, "params": {}}) for name in spec.metrics},
            round_metrics=spec.round_metrics,
            lower_is_better=registry.get("metric", spec.followed_metric).spec.lower_is_better,
            start=dump_tensors(adapted.trainable),
            device=device,
            link=link,
            attack=None if attack is None else build(registry, "attack", attack),
            attackers=_attackers(attack, len(population.parts), seeds)
            if strategy_spec.cohort == "sampled"
            else frozenset(),
        )

    def work(self, recipe: Recipe | None = None) -> ClientWork:
        """What works off this run's client tasks."""
        return ClientWork(
            strategy=self.strategy,
            adapted=self.adapted,
            task=self.task,
            plan=self.plan,
            max_fits=self.max_fits,
            context=self.context,
            examples=self.examples,
            link=self.link,
            attack=self.attack if self.cohort_kind == "sampled" else None,
            attackers=self.attackers,
            recipe=recipe,
        )

    @property
    def config(self) -> Mapping[str, Any]:
        """The run's resolved config."""
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
        return 0 if self.cohort_kind == "none" else self.config["federation"]["rounds"]

    def cohort(self, round_index: int) -> tuple[int, ...]:
        """Client ids of a round, ascending; one pseudo-client when the data are pooled."""
        return (POOLED_CLIENT,) if self.cohort_kind == "pooled" else self.population.schedule[round_index]

    def examples(self, client_id: int) -> Examples:
        """The training examples a client of this run works on."""
        return self.population.pooled if self.cohort_kind == "pooled" else self.population.client(client_id).train

    def local_steps(self, round_index: int, client_id: int) -> int:
        """The step budget of one fit; the pooled data get the sum of what the round's clients would."""
        steps_for = self.plan.steps_for
        if self.cohort_kind == "pooled" and round_index < self.n_rounds:
            return sum(steps_for(self.population.client(i).train.n) for i in self.population.schedule[round_index])
        return steps_for(self.examples(client_id).n)

    def server_context(self) -> ServerContext:
        """What the strategy is told before the first round."""
        per_round = self.config["federation"]["clients_per_round"]
        return ServerContext(self.n_clients, per_round, seed_tree(self.spec), self.adapted.low_rank)

    def round_context(self, round_index: int) -> RoundContext:
        """What the strategy is told when it aggregates."""
        seeds = seed_tree(self.spec)
        return RoundContext(round_index, self.cohort(round_index), self.n_clients, seeds, self.adapted.low_rank)

    def context(self, round_index: int, client_id: int, keep: Tensors, kept_in: int = -1) -> ClientContext:
        """What the strategy is told about a client in a round."""
        ranks = self.adapted.ranks_of(client_id)
        return ClientContext(
            round_index, client_id, self.n_clients, self.examples(client_id).n, truncated(self.start, ranks), keep,
            self.local_steps(round_index, client_id), self.plan.learning_rate, seed_tree(self.spec), kept_in, ranks,
        )  # fmt: skip

    def measure(self, model: Model, data: Any, names: Iterable[str] | None = None) -> dict[str, float]:
        """Metrics of the adapted backbone with these tensors, all when `names` is None; parts as `<metric>/<part>`.

        Raises:
            Diverged: one is not finite.
            PluginError: the task does not provide what a metric needs, or one that must be a number has parts.
        """
        self._load(model)
        with self._evaluating("observe"):
            evidence = self.task.observe(self.adapted.module, data, seed_tree(self.spec))
        measured: dict[str, float] = {}
        for name in self.metrics if names is None else names:
            measured |= self._computed(name, evidence)
        for name, value in measured.items():
            if not math.isfinite(value):
                raise Diverged(f"{name} of the trained model is {value}.")
        return measured

    @contextlib.contextmanager
    def _evaluating(self, method: str) -> Iterator[None]:
        """Around a call of the task's `method`."""
        what = f"{type(self.task).__name__}.{method}"
        precision = autocast(self.device, self.config["training"]["precision"])
        with guarded(what), self.adapted.untrained.kept(what), torch.inference_mode(), precision:
            yield

    def _load(self, model: Model) -> None:
        self.adapted.fold(model.merges)
        load_tensors(self.adapted.trainable, model.tensors, self.adapted.low_rank)
        self.adapted.module.eval()

    def _computed(self, name: str, evidence: Mapping[str, Any]) -> dict[str, float]:
        """One metric by name, or its parts; nothing when it is optional and its evidence is not there.

        Any other error, a KeyError too, is the metric's own and passes.
        """
        evaluation = self.config["evaluation"]
        try:
            with guarded(f"{type(self.metrics[name]).__name__}.compute", evidence=evidence):
                value = self.metrics[name].compute(_Evidence(evidence))
        except _NotGivenError as error:
            if name in evaluation.get("optional_metrics", ()):
                return {}
            raise PluginError(
                f"Metric `{name}` needs evidence {error}, which task `{self.config['task']['name']}` does not give "
                "here. Name another metric in the suite's [evaluation], or put this one into `optional_metrics`."
            ) from error
        if not isinstance(value, Mapping):
            return {name: float(value)}
        if name in (evaluation["metric"], self.spec.followed_metric):
            raise PluginError(
                f"Metric `{name}` gives a number for each of its parts, and one number ranks and is followed over "
                "rounds. Name it in `evaluation.other_metrics` or `evaluation.optional_metrics`."
            )
        return {f"{name}/{part}": float(number) for part, number in value.items()}

    def showcase(self, model: Model) -> str:
        """Base64 of the PNG that the task makes with this model; empty where it makes none.

        Raises:
            PluginError: what it makes is no PNG.
        """
        self._load(model)
        with self._evaluating("showcase"):
            picture = self.task.showcase(self.adapted.module, seed_tree(self.spec))
        if picture is not None and not picture.startswith(PNG_SIGNATURE):
            raise PluginError("The task's showcase is no PNG. Return a PNG file's bytes, or None.")
        return base64.b64encode(picture or b"").decode()

    def export(self, state: Any, ctx: ClientContext | None) -> Model | None:
        """The strategy's export, watched."""
        with guarded(f"{self.strategy_name}.export", state=state, ctx=ctx):
            exported = self.strategy.export(state, ctx)
        return exported if exported is None or isinstance(exported, Model) else Model(exported)

    def personalize(self, state: Any, ctx: ClientContext, model: Model) -> Fit:
        """How a client goes on from its exported model: as the strategy says, or by training all of it.

        Raises:
            PluginError: the strategy says it with something else than a `Fit`.
        """
        if not isinstance(self.strategy, Personalizing):
            return Fit(model.tensors, merges=model.merges)
        with guarded(f"{self.strategy_name}.personalize", state=state, ctx=ctx):
            request = self.strategy.personalize(state, ctx)
        if not isinstance(request, Fit):
            raise PluginError(f"{self.strategy_name}.personalize returned a {type(request).__name__}. Return a `Fit`.")
        return request


def _attackers(attack: Mapping[str, Any] | None, n_clients: int, seeds: SeedTree) -> frozenset[int]:
    """The hostile clients of a seed: the same for every contender."""
    if attack is None:
        return frozenset()
    drawn = seeds.numpy("split", purpose="attackers").permutation(n_clients)
    return frozenset(int(i) for i in drawn[: round(attack["fraction"] * n_clients)])


def open_worlds(recipe: Recipe) -> Worlds:
    """What the runs of one worker process share: plugins, and tasks and splits as they are asked for."""
    return Worlds(load_registry(recipe.plugin_files), finder(recipe.data))


def open_work(recipe: Recipe, worlds: Worlds | None = None) -> ClientWork:
    """For engines: build a run's `ClientWork` in another process.

    Raises:
        DataError: data or backbone are not there.
    """
    worlds = open_worlds(recipe) if worlds is None else worlds
    torch.set_num_threads(recipe.spec.config["training"]["threads"])
    return Setting.make(recipe.spec, worlds.registry, worlds, torch.device(recipe.device)).work(recipe)
