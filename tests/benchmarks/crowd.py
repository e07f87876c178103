"""Very many clients whose training costs next to nothing. As a plugin: task `crowd`, with `still`'s metric.

As a program, `python crowd.py N_CLIENTS N_UNITS ROUNDS PARTITIONER` runs one cell and prints what it took, as JSON.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import still
from still import LoadedStill

from fedgen_bench import ClientData, Examples, Holdings, Parts, TaskSpec, UnitTable, hookimpl
from fedgen_bench.contract.specs import SuiteSource
from fedgen_bench.registry.datasets import Places
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.results.store import Store
from fedgen_bench.run.executor import Job
from fedgen_bench.run.runner import run_cells
from fedgen_bench.suite.cells import expand
from fedgen_bench.suite.load import load_suite

N_LABELS = 10
SUITE = still.SUITE.replace('name = "still"\n', 'name = "crowd"\n')


@dataclass(frozen=True)
class Params:
    """n_units: what is split over clients."""

    n_units: int = 1000


@dataclass(frozen=True)
class Crowd:
    """What `build` returns."""

    params: Params
    datasets: tuple[str, ...] = ()

    def files(self, find: Callable[[str], Path]) -> Mapping[str, Path]:  # noqa: ARG002 - the protocol's signature
        return {}

    def load(self, find: Callable[[str], Path]) -> LoadedCrowd:  # noqa: ARG002 - the protocol's signature
        return LoadedCrowd(self.params.n_units)


class LoadedCrowd(LoadedStill):
    """The small world that stands still, with units of ten labels; every unit is an example."""

    def __init__(self, n_units: int) -> None:
        super().__init__(still.SIZES["0.13 MB"])
        self.labels = np.arange(n_units, dtype=np.int32) % N_LABELS

    def units(self, seeds):  # noqa: ARG002 - the protocol's signature
        return UnitTable(len(self.labels), {"label": self.labels})

    def client_data(self, units: np.ndarray) -> ClientData:
        return ClientData(Examples({"x": self.points[: len(units)]}, len(units)), None)

    def holdings(self, parts: Parts) -> Holdings:
        return Holdings(parts.sizes, np.zeros(len(parts), dtype=bool))


@hookimpl
def register_tasks():
    return [TaskSpec(name="crowd", summary="Very many clients.", build=Crowd, params=Params)]


@hookimpl
def register_suites():
    return [SuiteSource(name="crowd", text=SUITE, path="crowd.toml")]


def run_crowd(n_clients: int, n_units: int, n_rounds: int, partitioner: str) -> dict[str, float]:
    """One cell of rounds with 100 clients through the runner: seconds of all, and of a round; peak RSS in MiB."""
    began, round_ends = time.perf_counter(), []
    registry = load_registry([still.__file__, __file__], environ={})
    overrides = [
        f"federation.n_clients={n_clients}", "federation.clients_per_round=100", f"federation.rounds={n_rounds}",
        f"task.params.n_units={n_units}", f"partitioner.name='{partitioner}'",
    ]  # fmt: skip
    (spec,) = expand(load_suite(registry.get("suite", "crowd").spec, registry, overrides), registry)

    def note(event):
        if event.kind == "round":
            round_ends.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder, Store(Path(folder)) as store:
        job = Job(Path(folder), Places(), "cpu", registry.plugin_files)
        (ended,) = run_cells([spec], registry, job, store, workers=1, on_event=note)
    assert ended.status == "done", ended.reason
    return {
        "seconds": time.perf_counter() - began,
        "round_seconds": (round_ends[-1] - round_ends[0]) / (n_rounds - 1),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run_crowd(*map(int, sys.argv[1:4]), sys.argv[4])))
