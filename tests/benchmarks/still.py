"""A world that stands still: models of any size whose training costs next to nothing.

The module has `n_tensors` matrices, and one bias that the loss looks at: all travel, and none but the bias changes.
This module is a plugin: task `still`, metric `still_loss` and suite `still`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from fedgen_bench import (
    ClientData,
    Examples,
    MetricSpec,
    NoParams,
    SuiteSource,
    TaskSpec,
    UnitTable,
    hookimpl,
)
from fedgen_bench.registry.datasets import Places
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.results.store import Store
from fedgen_bench.run.executor import Job
from fedgen_bench.run.runner import run_cells
from fedgen_bench.suite.cells import expand
from fedgen_bench.suite.load import load_suite

COHORT = 10
N_UNITS = 40


@dataclass(frozen=True)
class Params:
    """Matrices of side x side numbers in fp32."""

    n_tensors: int = 8
    side: int = 64


SIZES = {"0.13 MB": Params(8, 64), "40 MB": Params(40, 500), "0.5 GB": Params(124, 1000)}


@dataclass(frozen=True)
class Still:
    """What `build` returns."""

    params: Params
    datasets: tuple[str, ...] = ()

    def files(self, find: Callable[[str], Path]) -> Mapping[str, Path]:  # noqa: ARG002 - the protocol's signature
        return {}

    def load(self, find: Callable[[str], Path]) -> LoadedStill:  # noqa: ARG002 - the protocol's signature
        return LoadedStill(self.params)


class LoadedStill:
    """The task in memory."""

    def __init__(self, params: Params) -> None:
        self.params = params
        self.points = torch.ones(N_UNITS, 1)
        self.backbone_parameters = params.n_tensors * params.side**2 + 1
        self.provenance: Mapping[str, str] = {}

    def units(self, seeds):  # noqa: ARG002 - the protocol's signature
        return UnitTable(N_UNITS, {})

    def client_data(self, units: np.ndarray) -> ClientData:
        return ClientData(Examples({"x": self.points[torch.from_numpy(units)]}, len(units)), None)

    def new_module(self):
        return module_of(self.params)

    def loss(self, module, batch, generator):  # noqa: ARG002 - the protocol's signature
        return loss_of(module, batch["x"])

    def observe(self, module, data, seeds) -> dict[str, float]:  # noqa: ARG002 - the protocol's signature
        return {"loss": float(loss_of(module, data))}

    def evidence(self, split):  # noqa: ARG002 - the protocol's signature
        return frozenset({"loss"})

    def split(self, name):  # noqa: ARG002 - the protocol's signature
        return self.points

    def showcase(self, module, seeds) -> None: ...


class StillLoss:
    """The loss."""

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def compute(self, evidence: Mapping[str, float]) -> float:
        return evidence["loss"]


def module_of(params: Params) -> torch.nn.Module:
    """Matrices of normal numbers, and a bias of 0."""
    generator = torch.Generator().manual_seed(0)
    module = torch.nn.Module()
    for i in range(params.n_tensors):
        matrix = torch.randn(params.side, params.side, generator=generator)
        module.register_parameter(f"matrix_{i}", torch.nn.Parameter(matrix))
    module.register_parameter("bias", torch.nn.Parameter(torch.zeros(1)))
    return module.eval()


def loss_of(module: Any, x: torch.Tensor) -> torch.Tensor:
    """Mean of 1/2 (bias - x)^2."""
    return 0.5 * (module.bias - x).square().mean()


SUITE = f"""
[suite]
name = "still"
version = 1
title = "A world that stands still"
reference = "fedavg"
full_model = "fedavg"
[task]
name = "still"
[partitioner]
name = "contiguous"
[federation]
n_clients = {COHORT}
clients_per_round = {COHORT}
rounds = 3
[training]
optimizer = "sgd"
local_steps = 1
batch_size = 4
[evaluation]
metric = "still_loss"
target = 0.1
every = 1000
[seeds]
leaderboard = [1]
tuning = 2
[[contender]]
name = "fedavg"
strategy = {{ name = "fedavg" }}
adapter = {{ name = "full" }}
learning_rate = 0.1
"""


@hookimpl
def register_tasks():
    return [TaskSpec(name="still", summary="Tensors that stand still.", build=Still, params=Params)]


@hookimpl
def register_metrics():
    evidence = frozenset({"loss"})
    return [MetricSpec(name="still_loss", summary="Its loss.", build=StillLoss, unit="loss", evidence=evidence)]


@hookimpl
def register_suites():
    return [SuiteSource(name="still", text=SUITE, path="still.toml")]


@dataclass(frozen=True)
class Ran:
    """How a cell ended, with seconds and CPU seconds of this process between its first committed round and its last."""

    status: str
    seconds: float
    cpu_seconds: float


def overrides(params: Params) -> list[str]:
    """What the suite has to be told of a size."""
    return [f"task.params.n_tensors={params.n_tensors}", f"task.params.side={params.side}"]


def export(params: Params, folder: Path) -> None:
    """Write what a runner without the harness needs (see `small_lms.export`)."""
    save_file(dict(module_of(params).state_dict()), folder / "model.safetensors")
    per_client = N_UNITS // COHORT
    save_file({str(i): torch.ones(per_client, 1) for i in range(COHORT)}, folder / "clients.safetensors")
    (folder / "work.json").write_text(json.dumps({"kind": "still", "learning_rate": 0.1, "batch": per_client}))


def run_still(params: Params, n_rounds: int, root: Path, engine: str = "local", **engine_params: int) -> Ran:
    """A cell of `n_rounds` rounds of ten clients through the runner, into a new store at `root`."""
    registry = load_registry([__file__], environ={})
    told = [*overrides(params), f"federation.rounds={n_rounds}"]
    (spec,) = expand(load_suite(registry.get("suite", "still").spec, registry, told), registry)
    job = Job(root, Places(), "cpu", registry.plugin_files, engine, engine_params)
    marks: list[tuple[float, float]] = []

    def note(event: Any) -> None:
        if event.kind == "round":
            marks.append((time.perf_counter(), time.process_time()))

    with Store(root) as store:
        (ended,) = run_cells([spec], registry, job, store, workers=1, on_event=note)
    (began, cpu_began), (end, cpu_end) = marks[0], marks[-1]
    return Ran(ended.status, end - began, cpu_end - cpu_began)


def bare_rounds(model: Any, n_rounds: int) -> list[torch.Tensor]:
    """The same rounds by hand: copy the global tensors in, one step of SGD, copy them out, add them up by weight."""
    parameters = list(model.parameters())
    data = torch.ones(N_UNITS // COHORT, 1)
    current = [parameter.detach().clone() for parameter in parameters]
    for _ in range(n_rounds):
        mean = [torch.zeros_like(tensor) for tensor in current]
        for _ in range(COHORT):
            with torch.no_grad():
                for parameter, tensor in zip(parameters, current, strict=True):
                    parameter.copy_(tensor)
            model.train()
            optimizer = torch.optim.SGD(parameters, lr=0.1)
            loss_of(model, data[torch.randperm(len(data))]).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            model.eval()
            for total, parameter in zip(mean, parameters, strict=True):
                total.add_(parameter.detach().clone(), alpha=1 / COHORT)
        current = mean
    return current
