"""Cells in one process, one after the other; what goes wrong in a cell becomes its status."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.determinism import settle
from fedgen_bench.base.devices import own_device, pick_device
from fedgen_bench.base.errors import Diverged, FedgenError, StoreError
from fedgen_bench.base.failures import blamed, origin, text_of, told
from fedgen_bench.base.spans import span
from fedgen_bench.contract.reports import RoundReport, RunResult
from fedgen_bench.registry.datasets import Places
from fedgen_bench.registry.registry import Registry
from fedgen_bench.results.store import Store
from fedgen_bench.run.cohorts import Cohorts
from fedgen_bench.run.events import Event, OnEvent
from fedgen_bench.suite.cellconfig import provenance_key
from fedgen_bench.suite.cells import CellSpec
from fedgen_bench.suite.schema import Component

if TYPE_CHECKING:
    from fedgen_bench.federation.loader import Loader


@dataclass(frozen=True)
class Job:
    """What a worker process needs to run cells. `keep_clients`: private states of clients stay when a cell is done."""

    root: Path
    data: Places
    device: str
    plugin_files: tuple[str, ...]
    engine: str = "local"
    engine_params: Mapping[str, Any] = field(default_factory=dict)
    verbose: bool = False
    keep_clients: bool = False
    cohorts: Cohorts = field(default_factory=Cohorts)


class Executor:
    """Runs cells in this process, one after the other, sharing tasks and splits between them."""

    def __init__(self, job: Job, store: Store, registry: Registry, loader: Loader) -> None:
        from fedgen_bench.federation.components import build

        self._job, self._store, self._registry, self._loader = job, store, registry, loader
        self._engine = build(registry, "engine", Component(name=job.engine, params=dict(job.engine_params)))

    def close(self) -> None:
        """Give back what the engine holds."""
        with blamed(f"Engine `{self._job.engine}`"):
            self._engine.close()

    def run(self, spec: CellSpec, on_event: OnEvent) -> Event:
        """Run one cell to its end; what goes wrong in it becomes its status.

        Raises:
            StoreError: the store cannot be written; that concerns every cell.
        """
        import torch

        from fedgen_bench.base.environment import fingerprint
        from fedgen_bench.federation.blueprint import Blueprint
        from fedgen_bench.federation.run_cell import run_cell

        device = own_device(pick_device(self._job.device))
        settle(device)
        threads = spec.config.training.threads
        torch.set_num_threads(threads)
        began = time.monotonic()
        cohort = self._job.cohorts.of(spec, self._store, self._loader, device)
        journal = self._store.begin(
            spec, fingerprint(device, threads, cohort), provenance(spec, self._registry, self._job.engine)
        )
        committed = 0.0

        def on_round(report: RoundReport) -> None:
            nonlocal committed
            committed += report.seconds
            self._registry.observe("after_round", run=spec.name, report=report, config=spec.config.to_json())
            on_event(_round_event(spec, report))

        final = None
        try:
            blueprint = Blueprint(spec, device, self._job.data, self._job.plugin_files, cohort)
            with span("cell", spec.name):
                result, final = run_cell(blueprint, self._loader, journal, self._engine, on_round)
        except StoreError:
            raise
        except Diverged as error:
            rounds = len(journal.batch_digests())
            result = RunResult("diverged", f"Round {rounds}: {text_of(error)}")
        except KeyboardInterrupt:  # a plugin's own came out of its guard as a PluginError
            raise
        except BaseException as error:  # noqa: BLE001 - a failed cell is a row in the table, not the end of the suite
            text = text_of(error) if isinstance(error, FedgenError) else f"{told(error)} ({origin(error)})"
            result = RunResult("failed", text)
        with span("finish", spec.name):
            seconds = time.monotonic() - began - committed
            journal.finish(result, final, seconds, keep=self._job.keep_clients)
        self._registry.observe("after_run", run=spec.name, result=result, config=spec.config.to_json())
        return Event("ended", spec.name, status=result.status, reason=result.reason, seconds=time.monotonic() - began)


def _round_event(spec: CellSpec, report: RoundReport) -> Event:
    n_rounds = spec.config.federation.rounds
    return Event(
        "round",
        spec.name,
        n_rounds,
        report.round_index,
        report.mean_loss,
        tuple(report.metrics.items()),
        seconds=report.seconds,
    )


def provenance(spec: CellSpec, registry: Registry, engine: str) -> dict[str, Any]:
    """Distribution, version and source hash of every component of a cell, and of the engine that ran it."""
    used = [*spec.config.components(), ("engine", Component(name=engine))]
    return {
        provenance_key(kind, one.name): {"name": one.name, **asdict(registry.get(kind, one.name).provenance)}
        for kind, one in used
    }
