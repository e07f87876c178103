"""Where cells are run: with which plugins, data and device, by how many processes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

from fedgen_bench.base.devices import check_device, check_system, default_jobs, pick_device
from fedgen_bench.base.libraries import import_ahead
from fedgen_bench.base.nursery import nursery
from fedgen_bench.base.system import forks
from fedgen_bench.registry.datasets import Places
from fedgen_bench.registry.placement import Placement, placement
from fedgen_bench.registry.registry import Registry
from fedgen_bench.results.store import Store
from fedgen_bench.run.ahead import libraries
from fedgen_bench.run.cohorts import Cohort, Cohorts
from fedgen_bench.run.events import Event, OnEvent
from fedgen_bench.run.executor import Job
from fedgen_bench.run.runner import run_cells
from fedgen_bench.suite.cells import CellSpec


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """Plugins, data, device and processes.

    Args:
        device_option: `auto`, `cpu`, `cuda`, one of the visible GPUs, as `cuda:1`, or `mps`.
        jobs: worker processes; None for as many as the cores allow, or one for each GPU.
        cohort: clients that are trained in one pass.
    """

    registry: Registry
    data: Places
    device_option: str
    engine: str = "local"
    jobs: int | None = None
    address: str | None = None
    cohort: Cohort = 1

    @cached_property
    def device(self) -> str:
        """`cpu`, `cuda`, one GPU by number, or `mps`. Raises UsageError for one that is not there."""
        import_ahead(["torch"])
        return pick_device(self.device_option)

    @contextlib.contextmanager
    def warmed(self, cells: Sequence[CellSpec]) -> Iterator[Placement]:
        """How the cells are placed; within the block, workers come from a process that has imported what these need.

        It begins with that at once. There is none on GPUs, which survive no fork, nor on macOS, whose libraries do not.

        Raises:
            UsageError: an engine, address or device that there is not, or a system that trains nothing.
        """
        check_system()
        check_device(self.device_option)
        threads = max(cell.config.training.threads for cell in cells)
        place = self._placement(threads, "cpu")
        hired = self.registry.get("engine", self.engine).spec.hires or min(place.n_cells, len(cells)) > 1
        if self.device_option not in {"auto", "cpu"} or not (hired and forks()):
            yield self.placement(threads)
            return
        with nursery(libraries(cells, self.registry)) as opened:
            place = self.placement(threads)
            if self.device != "cpu":
                opened.close()
            yield place

    def placement(self, threads: int) -> Placement:
        """For cells of so many threads. Raises UsageError for an engine, address or device that there is not."""
        return self._placement(threads, self.device)

    def _placement(self, threads: int, device: str) -> Placement:
        default = default_jobs(threads, device) if self.jobs is None else self.jobs
        return placement(self.registry, self.engine, self.jobs, self.address, default)

    def run(
        self,
        cells: Sequence[CellSpec],
        store: Store,
        place: Placement,
        on_event: OnEvent,
        *,
        verbose: bool = False,
        keep_clients: bool = False,
        cohort_of: Mapping[str, int] = MappingProxyType({}),
    ) -> tuple[Event, ...]:
        """Run what is left of the cells; how each of these ended. `cohort_of`: by digest, in place of `cohort`.

        Raises as `run_cells`.
        """
        job = Job(
            store.root,
            self.data,
            self.device,
            self.registry.plugin_files,
            self.engine,
            place.params,
            verbose=verbose,
            keep_clients=keep_clients,
            cohorts=Cohorts(self.cohort, dict(cohort_of), max(1, place.jobs // place.n_cells)),
        )
        return tuple(run_cells(cells, self.registry, job, store, workers=place.n_cells, on_event=on_event))
