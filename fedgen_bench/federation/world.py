"""What a suite's runs share in one process: the task, and per seed the split, the clients' data and the schedule."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fedgen_bench.base.errors import PluginError
from fedgen_bench.base.files import content_sha256
from fedgen_bench.base.guards import guarded
from fedgen_bench.contract import protocols
from fedgen_bench.contract.data import ClientData, Examples
from fedgen_bench.contract.params import make_params
from fedgen_bench.contract.seeds import SeedTree, digest
from fedgen_bench.federation import clients
from fedgen_bench.suite.sizes import need_memory

if TYPE_CHECKING:
    from fedgen_bench.contract.protocols import Task, TaskFactory
    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.suite.suites import RunSpec

POOLED_CLIENT = 0


def build(registry: Registry, kind: str, component: Mapping[str, Any]) -> Any:
    """The component of a run's resolved config.

    Raises:
        PluginError: parameters that it refuses, a method that is missing or takes something else.
    """
    spec = registry.get(kind, component["name"]).spec
    params, problems = make_params(spec.params, component["params"])
    if problems:
        raise PluginError(f"{kind} `{spec.name}`: {problems[0][1]}")
    with guarded(f"{kind} `{spec.name}`"):
        built = spec.build(params)
    if problem := broken_method(kind, built):
        raise PluginError(f"{kind} `{spec.name}`: {problem}")
    return built


PROTOCOLS: Mapping[str, type] = {
    "strategy": protocols.Strategy,
    "adapter": protocols.Adapter,
    "partitioner": protocols.Partitioner,
    "task": protocols.TaskFactory,
    "metric": protocols.Metric,
    "compressor": protocols.Compressor,
    "attack": protocols.Attack,
    "engine": clients.Engine,
}


def broken_method(kind: str, built: Any) -> str | None:
    """The first method of the kind's protocol that is missing or cannot be called as the core calls it, or None."""
    methods = dict(vars(PROTOCOLS[kind]))
    if kind == "strategy" and hasattr(built, "personalize"):
        methods |= vars(protocols.Personalizing)
    for name, declared in methods.items():
        if name.startswith("_") or not inspect.isfunction(declared):
            continue
        wanted = list(inspect.signature(declared).parameters)[1:]
        method = getattr(built, name, None)
        if not callable(method):
            return f"it has no method `{name}({', '.join(wanted)})`. Add it."
        try:
            inspect.signature(method).bind(*wanted)
        except TypeError:
            own = inspect.signature(method)
            return f"`{name}{own}` is called as `{name}({', '.join(wanted)})`. Mend its arguments."
        if (kind, name) == ("strategy", "client") and not inspect.isgeneratorfunction(method):
            return "`client` never yields. Yield a `Fit` request to train."
    return None


def identity(component: Mapping[str, Any]) -> str:
    """A component as an axis of the seed tree: its name, version and parameters (of a task: as it pairs)."""
    params = component["params"] | component.get("pairs_as", {})
    return json.dumps([component["name"], component["version"], params], sort_keys=True)


def seed_tree(spec: RunSpec) -> SeedTree:
    """The seed tree of a run whose content is known."""
    config, contender = spec.config, spec.config["contender"]
    return SeedTree(
        identity(spec.task),
        identity(contender["adapter"]),
        identity(config["partitioner"]),
        identity(contender["strategy"]),
        config["seed"],
    )


@dataclass(frozen=True)
class Population:
    """One seed's clients: who holds which units, and who is asked in which round."""

    task: Task
    parts: tuple[np.ndarray, ...]
    schedule: tuple[tuple[int, ...], ...]

    @cached_property
    def partition_digest(self) -> str:
        """Hex sha256 of every client's unit indices."""
        return digest(*(part.astype("<i8").tobytes() for part in self.parts))

    @cached_property
    def schedule_digest(self) -> str:
        """Hex sha256 of the cohort schedule."""
        return digest(json.dumps(self.schedule))

    def client(self, client_id: int) -> ClientData:
        """The client's data, prepared when first asked for."""
        return self._clients(client_id)

    @cached_property
    def _clients(self) -> Callable[[int], ClientData]:
        def prepared(client_id: int) -> ClientData:
            with guarded(f"{type(self.task).__name__}.client_data"):
                return self.task.client_data(self.parts[client_id])

        return lru_cache(maxsize=None)(prepared)

    @cached_property
    def pooled(self) -> Examples:
        """Everybody's training examples in one place."""
        import torch

        everyone = [data.train for i in range(len(self.parts)) if (data := self.client(i)).train.n]
        names = everyone[0].tensors
        return Examples(
            {name: torch.cat([one.tensors[name] for one in everyone]) for name in names}, sum(one.n for one in everyone)
        )


def make_population(task: Task, partitioner: Any, federation: Mapping[str, Any], seeds: SeedTree) -> Population:
    """Split the task's units and draw every round's cohort, each from its own stream.

    Clients without training examples are never asked.

    Raises:
        PluginError: a partition that is not disjoint, is out of range, or leaves too few clients with data.
        UsageError: more clients or rounds than this machine can hold.
    """
    need_memory(federation)
    n_clients, per_round = federation["n_clients"], federation["clients_per_round"]
    with guarded(f"{type(task).__name__}.units"):
        units = task.units(seeds)
    for column in units.columns.values():
        column.flags.writeable = False  # every seed's partition reads the same
    with guarded(f"{type(partitioner).__name__}.split"):
        parts = tuple(
            np.asarray(part, dtype=np.int64) for part in partitioner.split(units, n_clients, seeds.numpy("split"))
        )
    joined = np.concatenate(parts) if parts else np.empty(0, np.int64)
    if (
        len(parts) != n_clients
        or len(np.unique(joined)) != len(joined)
        or (len(joined) and not 0 <= joined.min() <= joined.max() < units.n_units)
    ):
        raise PluginError(
            f"The partitioner must give {n_clients} disjoint arrays of unit indices below {units.n_units}."
        )
    population = Population(task, parts, ())
    eligible = [i for i in range(n_clients) if len(parts[i]) and population.client(i).train.n]
    if len(eligible) < per_round:
        raise PluginError(
            f"Only {len(eligible)} clients hold training data; {per_round} are asked in a round. Use fewer clients "
            "or more data."
        )
    schedule = tuple(
        tuple(
            sorted(int(i) for i in seeds.numpy("cohort", round_index=r).choice(eligible, size=per_round, replace=False))
        )
        for r in range(federation["rounds"])
    )
    return Population(task, parts, schedule)


class Worlds:
    """Builds tasks and populations once a process, and hashes what they are read from once."""

    def __init__(self, registry: Registry, find: Callable[[str], Path]) -> None:
        self.registry, self._find = registry, find
        self._contents: dict[str, Mapping[str, str]] = {}
        self._tasks: dict[str, Task] = {}
        self._populations: dict[str, Population] = {}

    def resolved(self, spec: RunSpec) -> RunSpec:
        """The run with the content of what its task reads. Raises DataError when data are not there."""
        if spec.content:
            return spec
        key = json.dumps(spec.config["task"], sort_keys=True)
        if key not in self._contents:
            factory = self._factory(spec)
            with guarded(f"{type(factory).__name__}.files"):
                files = factory.files(self._find)
            self._contents[key] = {name: content_sha256(path) for name, path in sorted(files.items())}
        return replace(spec, content=self._contents[key])

    def _factory(self, spec: RunSpec) -> TaskFactory:
        factory: TaskFactory = build(self.registry, "task", spec.config["task"])
        return factory

    def task(self, spec: RunSpec) -> Task:
        """The loaded task of a run. Raises DataError when its data are not there."""
        key = json.dumps([spec.config["task"], dict(spec.content)], sort_keys=True)
        if key not in self._tasks:
            factory = self._factory(spec)
            with guarded(f"{type(factory).__name__}.load"):
                self._tasks[key] = factory.load(self._find)
        return self._tasks[key]

    def population(self, spec: RunSpec) -> Population:
        """The population of a run whose content is known."""
        seeds, config = seed_tree(spec), spec.config
        key = json.dumps(
            [config["task"], dict(spec.content), seeds.partitioner, seeds.seed, config["federation"]], sort_keys=True
        )
        if key not in self._populations:
            partitioner = build(self.registry, "partitioner", config["partitioner"])
            self._populations = {key: make_population(self.task(spec), partitioner, config["federation"], seeds)}
        return self._populations[key]
