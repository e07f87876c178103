"""The kinds of component, what must hold for their names, and the observers' hooks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from fedgen_bench.contract import engines, mechanisms, protocols
from fedgen_bench.contract.backbones import BackboneSpec
from fedgen_bench.contract.claims import ClaimSpec
from fedgen_bench.contract.datasets import DatasetSpec
from fedgen_bench.contract.device_profiles import DeviceProfile
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

NAME = re.compile(r"^[a-z0-9][a-z0-9._-]{0,63}$")


@dataclass(frozen=True)
class Kind:
    """The hook that registers components of a kind, their specs' type, and the methods of what is built, if any."""

    hook: str
    spec: type
    protocol: type | None = None


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "strategy": Kind("register_strategies", StrategySpec, protocols.Strategy),
        "adapter": Kind("register_adapters", AdapterSpec, protocols.Adapter),
        "partitioner": Kind("register_partitioners", PartitionerSpec, protocols.Partitioner),
        "task": Kind("register_tasks", TaskSpec, protocols.TaskFactory),
        "dataset": Kind("register_datasets", DatasetSpec),
        "backbone": Kind("register_backbones", BackboneSpec),
        "metric": Kind("register_metrics", MetricSpec, protocols.Metric),
        "compressor": Kind("register_compressors", CompressorSpec, protocols.Compressor),
        "attack": Kind("register_attacks", AttackSpec, protocols.Attack),
        "mechanism": Kind("register_mechanisms", MechanismSpec, mechanisms.Mechanism),
        "engine": Kind("register_engines", EngineSpec, engines.Engine),
        "suite": Kind("register_suites", SuiteSource),
        "device_profile": Kind("register_device_profiles", DeviceProfile),
        "table_format": Kind("register_table_formats", TableFormatSpec, protocols.TableFormat),
        "claim": Kind("register_claims", ClaimSpec),
    }
)
OBSERVERS = ("after_round", "after_run")
