"""What the cells of one process share, loaded once: tasks, the content of what these read, each seed's population."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fedgen_bench.base.errors import DataError
from fedgen_bench.base.files import chosen_sha256, content_sha256, sha256_of
from fedgen_bench.base.guards import guarded
from fedgen_bench.base.spans import span
from fedgen_bench.contract.datasets import Chosen
from fedgen_bench.federation.components import build
from fedgen_bench.federation.device_trace import read_trace
from fedgen_bench.federation.fleet import Fleet, fleet_of_classes, fleet_of_trace
from fedgen_bench.federation.population import Population, make_population
from fedgen_bench.federation.seeding import seed_tree
from fedgen_bench.suite.cellconfig import canonical
from fedgen_bench.suite.devices import TRACE

if TYPE_CHECKING:
    from fedgen_bench.contract.protocols import Task, TaskFactory
    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.suite.cells import CellSpec


def _content(what: Path | Chosen) -> str:
    return chosen_sha256(what.folder, what.files) if isinstance(what, Chosen) else content_sha256(what)


class Loader:
    """Builds tasks and populations once a process, and hashes what they are read from once."""

    def __init__(self, registry: Registry, find: Callable[[str | Path], Path]) -> None:
        self.registry, self._find = registry, find
        self._contents: dict[str, Mapping[str, str]] = {}
        self._tasks: dict[str, Task] = {}
        self._populations: dict[str, Population] = {}

    def resolved(self, spec: CellSpec) -> CellSpec:
        """The cell with the content of what its task reads. Raises DataError when data are not there."""
        if spec.content:
            return spec
        key = canonical(spec.config.task)
        if key not in self._contents:
            factory = self._factory(spec)
            with guarded(f"{type(factory).__name__}.files"):
                files = factory.files(self._find)
            self._contents[key] = {name: _content(what) for name, what in sorted(files.items())}
        return replace(spec, content={**self._contents[key], **self._trace(spec)})

    def _trace(self, spec: CellSpec) -> dict[str, str]:
        """The hash of the trace that the cell's devices are read from; nothing where they are not."""
        devices = spec.config.devices
        if devices is None or not devices.trace:
            return {}
        path = self._find(Path(devices.trace))
        if not path.is_file():
            raise DataError(f"There is no trace {path}. Name a CSV file as `devices.trace`.")
        return {TRACE: sha256_of(path)}

    def fleet(self, spec: CellSpec) -> Fleet | None:
        """The devices of a cell's clients; None where the suite has none. Raises DataError for a wrong trace."""
        devices, n_clients = spec.config.devices, spec.config.federation.n_clients
        if devices is None:
            return None
        seeds = seed_tree(spec)
        if devices.trace:
            return fleet_of_trace(read_trace(self._find(Path(devices.trace)), n_clients), n_clients, seeds)
        return fleet_of_classes(devices, n_clients, seeds)

    def _factory(self, spec: CellSpec) -> TaskFactory:
        factory: TaskFactory = build(self.registry, "task", spec.config.task)
        return factory

    def task(self, spec: CellSpec) -> Task:
        """The loaded task of a cell. Raises DataError when its data are not there."""
        key = canonical([spec.config.task, dict(spec.content)])
        if key not in self._tasks:
            factory = self._factory(spec)
            with span("load", spec.config.task.name), guarded(f"{type(factory).__name__}.load"):
                self._tasks[key] = factory.load(self._find)
        return self._tasks[key]

    def population(self, spec: CellSpec) -> Population:
        """The population of a cell whose content is known."""
        seeds, config = seed_tree(spec), spec.config
        sliced = bool(config.personalization_trials)
        key = canonical([config.task, dict(spec.content), seeds.partitioner, seeds.seed, config.federation, sliced])
        if key not in self._populations:
            partitioner = build(self.registry, "partitioner", config.partitioner)
            task = self.task(spec)
            with span("split", seeds.seed):
                made = make_population(task, partitioner, config.federation, seeds, training_parts=sliced)
                self._populations = {key: made}
        return self._populations[key]
