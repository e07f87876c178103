"""fedgen-bench: federated fine-tuning of generative models, compared with numbers that can be believed.

These are the names that plugins use; importing them loads no heavy library.
"""

from __future__ import annotations

from fedgen_bench.adapting import Adapted, wrap_with_peft
from fedgen_bench.aggregation import weighted_mean
from fedgen_bench.hookspecs import hookimpl
from fedgen_bench.lowrank import padded, product_norm, stacked, truncated
from fedgen_bench.records import (
    AdapterSpec,
    AttackSpec,
    ClientContext,
    ClientData,
    ComponentSpec,
    CompressorSpec,
    EngineSpec,
    Examples,
    Fit,
    FitReport,
    LowRank,
    MetricSpec,
    Model,
    NoParams,
    PartitionerSpec,
    Payload,
    Proximal,
    RoundContext,
    RoundReport,
    RunResult,
    ServerContext,
    StrategySpec,
    SuiteSource,
    TableFormatSpec,
    TaskSpec,
    Tensors,
    UnitTable,
    Update,
)
from fedgen_bench.seeds import SeedTree, seeded_globals

__version__ = "0.1.0"

__all__ = [
    "Adapted",
    "AdapterSpec",
    "AttackSpec",
    "ClientContext",
    "ClientData",
    "ComponentSpec",
    "CompressorSpec",
    "EngineSpec",
    "Examples",
    "Fit",
    "FitReport",
    "LowRank",
    "MetricSpec",
    "Model",
    "NoParams",
    "PartitionerSpec",
    "Payload",
    "Proximal",
    "RoundContext",
    "RoundReport",
    "RunResult",
    "SeedTree",
    "ServerContext",
    "StrategySpec",
    "SuiteSource",
    "TableFormatSpec",
    "TaskSpec",
    "Tensors",
    "UnitTable",
    "Update",
    "hookimpl",
    "padded",
    "product_norm",
    "seeded_globals",
    "stacked",
    "truncated",
    "weighted_mean",
    "wrap_with_peft",
]
