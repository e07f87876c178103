"""A toy world: a model of three numbers whose training can be followed by hand.

The module holds `weight` of shape (3,); an example is a point x of shape (3,), its loss 1/2 ||weight - x||^2, so the
gradient of a batch is weight - mean(x) and SGD with rate eta moves weight to (1 - eta) weight + eta mean(x).

This module is a plugin: `load_registry([toy.__file__])` registers task `toy`, metric `toy_loss` and suite `toy`, whose
runs take milliseconds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedgen_bench import (
    ClientData,
    Examples,
    Holdings,
    MetricSpec,
    MicroBatch,
    NoParams,
    Parts,
    SeedTree,
    SuiteSource,
    TaskSpec,
    Tensors,
    UnitTable,
    hookimpl,
)

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn

WIDTH = 3


@dataclass(frozen=True)
class Params:
    """n_units: points in the world. n_labels: points of one label lie around one centre. noise: spread around it."""

    n_units: int = 60
    n_labels: int = 4
    noise: float = 0.1


@dataclass(frozen=True)
class Toy:
    """What `build` returns."""

    params: Params
    datasets: tuple[str, ...] = ()

    def files(self, find: Callable[[str], Path]) -> Mapping[str, Path]:
        """None."""
        return {}

    def load(self, find: Callable[[str], Path]) -> LoadedToy:
        """Draw the points; nothing is read."""
        return LoadedToy(self.params)


class LoadedToy:
    """The toy task in memory."""

    def __init__(self, params: Params) -> None:
        import numpy as np
        import torch

        rng = np.random.Generator(np.random.Philox(key=3))
        self.labels = np.arange(params.n_units) % params.n_labels
        centres = rng.standard_normal((params.n_labels, WIDTH))
        points = centres[self.labels] + params.noise * rng.standard_normal((params.n_units, WIDTH))
        self.points = torch.from_numpy(points.astype(np.float32))
        self.backbone_parameters = WIDTH
        self.provenance: Mapping[str, str] = {"toy": hashlib.sha256(self.points.numpy().tobytes()).hexdigest()}

    def units(self, seeds: SeedTree) -> UnitTable:
        """Every point is a unit."""
        return UnitTable(len(self.points), {"label": self.labels})

    def client_data(self, units: np.ndarray) -> ClientData:
        """All but the last point are trained on; the last is held out when there are at least two."""
        import torch

        kept = self.trained_units(units)
        tail = self.points[torch.from_numpy(units[-1:])] if len(units) > 1 else None
        return ClientData(Examples({"x": self.points[torch.from_numpy(kept)]}, len(kept)), tail)

    def trained_units(self, units: np.ndarray) -> np.ndarray:
        """All but the last where there are two."""
        return units[:-1] if len(units) > 1 else units

    def holdings(self, parts: Parts) -> Holdings:
        """The same, counted."""
        return Holdings(parts.sizes - (parts.sizes > 1), parts.sizes > 1)

    def new_module(self) -> nn.Module:
        """A module at zero."""
        import torch

        module = torch.nn.Module()
        module.register_parameter("weight", torch.nn.Parameter(torch.zeros(WIDTH)))
        return module.eval()

    def loss(self, module: nn.Module, batch: Tensors, generator: torch.Generator) -> torch.Tensor:
        """Mean of 1/2 ||weight - x||^2."""
        weight: Any = module.weight
        loss: torch.Tensor = 0.5 * (weight - batch["x"]).square().sum(dim=1).mean()
        return loss

    def micro_batches(self, batch: Tensors, size: int, generator: torch.Generator) -> list[MicroBatch]:
        """Every point counts alike."""
        points = batch["x"]
        return [MicroBatch({"x": some}, len(some) / len(points)) for some in points.split(size)]

    def observe(self, module: nn.Module, data: Any, seeds: SeedTree) -> dict[str, float]:
        """Summed loss and number of points."""
        weight: Any = module.weight
        return {"loss": float(0.5 * (weight.cpu() - data).double().square().sum()), "n": float(len(data))}

    def evidence(self, split: str) -> frozenset[str]:
        """The same of every split."""
        return frozenset({"loss", "n"})

    def split(self, name: str) -> torch.Tensor:
        """All points, whatever the name."""
        return self.points

    def showcase(self, module: nn.Module, seeds: SeedTree) -> None:
        """Numbers give no picture."""


class ToyLoss:
    """Mean loss."""

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def compute(self, evidence: Mapping[str, float]) -> float:
        """Summed loss over points."""
        return evidence["loss"] / evidence["n"]


SUITE = """
[suite]
name = "toy"
version = 1
title = "Toy world"
reference = "fedgen_edge"
full_model = "fedavg"
[task]
name = "toy"
[partitioner]
name = "dirichlet"
params = { alpha = 0.5 }
[federation]
n_clients = 6
clients_per_round = 3
rounds = 4
[training]
optimizer = "sgd"
local_steps = 2
batch_size = 4
[evaluation]
metric = "toy_loss"
target = 0.8
personalized_clients = 2
personalized_steps = 1
[seeds]
leaderboard = [1, 2]
tuning = 9
[[contender]]
name = "fedgen_edge"
strategy = { name = "fedgen_edge" }
adapter = { name = "full" }
learning_rate = 0.1
[[contender]]
name = "fedavg"
strategy = { name = "fedavg" }
adapter = { name = "full" }
learning_rate = 0.2
[[contender]]
name = "local_only"
strategy = { name = "local_only" }
adapter = { name = "full" }
learning_rate = 0.1
ranked = false
[[contender]]
name = "centralized"
strategy = { name = "centralized" }
adapter = { name = "full" }
learning_rate = 0.1
ranked = false
[tuning]
rounds = 2
[tuning.grid]
fedgen_edge = [{ learning_rate = 0.1 }, { learning_rate = 0.3 }]
fedavg = [{ learning_rate = 0.1 }, { learning_rate = 0.3 }]
"""


@hookimpl
def register_tasks() -> list[TaskSpec]:
    """The toy task."""
    return [TaskSpec(name="toy", summary="Three numbers drawn to points.", build=Toy, params=Params)]


@hookimpl
def register_metrics() -> list[MetricSpec]:
    """The toy metric."""
    evidence = frozenset({"loss", "n"})
    return [
        MetricSpec(
            name="toy_loss", summary="Mean of 1/2 ||weight - x||^2.", build=ToyLoss, unit="loss", evidence=evidence
        )
    ]


@hookimpl
def register_suites() -> list[SuiteSource]:
    """The toy suite."""
    return [SuiteSource(name="toy", text=SUITE, path="toy.toml")]
