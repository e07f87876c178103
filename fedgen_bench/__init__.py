"""fedgen-bench: federated fine-tuning of generative models, compared with numbers that can be believed.

These are the names that plugins use; importing them loads no heavy library.
"""

from __future__ import annotations

from fedgen_bench.adapting import Adapted, wrap_with_peft
from fedgen_bench.aggregation import weighted_mean
from fedgen_bench.hookspecs import hookimpl
from fedgen_bench.records import (
    AdapterSpec,
    ClientContext,
    ClientData,
    ComponentSpec,
    Examples,
    Fit,
    FitReport,
    MetricSpec,
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
    "ClientContext",
    "ClientData",
    "ComponentSpec",
    "Examples",
    "Fit",
    "FitReport",
    "MetricSpec",
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
    "seeded_globals",
    "weighted_mean",
    "wrap_with_peft",
]
