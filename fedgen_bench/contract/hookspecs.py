"""The hooks of project `fedgen_bench`: signatures and docstrings only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from fedgen_bench.contract.backbones import BackboneSpec
    from fedgen_bench.contract.claims import ClaimSpec
    from fedgen_bench.contract.datasets import DatasetSpec
    from fedgen_bench.contract.device_profiles import DeviceProfile
    from fedgen_bench.contract.reports import RoundReport, RunResult
    from fedgen_bench.contract.specs import (
        AdapterSpec,
        AttackSpec,
        CompressorSpec,
        EngineSpec,
        MechanismSpec,
        MetricSpec,
        PartitionerSpec,
        StrategySpec,
        SuiteSource,
        TableFormatSpec,
        TaskSpec,
    )

PROJECT = "fedgen_bench"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_strategies() -> Iterable[StrategySpec]:
    """Federated methods: server half and client half."""


@hookspec
def register_adapters() -> Iterable[AdapterSpec]:
    """What is trained on a backbone and travels."""


@hookspec
def register_partitioners() -> Iterable[PartitionerSpec]:
    """How data are split over clients."""


@hookspec
def register_tasks() -> Iterable[TaskSpec]:
    """Data, backbone, loss and evaluation."""


@hookspec
def register_datasets() -> Iterable[DatasetSpec]:
    """What tasks read: files, their hashes, addresses and terms."""


@hookspec
def register_backbones() -> Iterable[BackboneSpec]:
    """Networks that were trained before any run, and their recipes."""


@hookspec
def register_metrics() -> Iterable[MetricSpec]:
    """Numbers computed from a task's evidence."""


@hookspec
def register_compressors() -> Iterable[CompressorSpec]:
    """How tensors are made smaller before they are encoded."""


@hookspec
def register_attacks() -> Iterable[AttackSpec]:
    """How hostile clients change their updates."""


@hookspec
def register_mechanisms() -> Iterable[MechanismSpec]:
    """What stands between clients' updates and the server: differential privacy, secure aggregation."""


@hookspec
def register_engines() -> Iterable[EngineSpec]:
    """Where the clients of a round are trained."""


@hookspec
def register_suites() -> Iterable[SuiteSource]:
    """Versioned suites as TOML text."""


@hookspec
def register_device_profiles() -> Iterable[DeviceProfile]:
    """Populations of devices: classes with shares, speeds, bandwidths and availability, as TOML text."""


@hookspec
def register_table_formats() -> Iterable[TableFormatSpec]:
    """Files that a leaderboard is written to."""


@hookspec
def register_claims() -> Iterable[ClaimSpec]:
    """What is said of a suite's reference, judged from published results."""


@hookspec
def after_round(run: str, report: RoundReport, config: dict[str, Any]) -> None:
    """Observe a committed round of the cell called `run` (`suite/contender/seed`), configured so. Changes no result."""


@hookspec
def after_run(run: str, result: RunResult, config: dict[str, Any]) -> None:
    """Observe a finished cell, configured so. Changes no result."""
