"""fedgen-bench: federated fine-tuning of generative models, compared with numbers that can be believed.

These are the names that plugins use; importing them loads no heavy library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.cache import cache_root
from fedgen_bench.base.errors import (
    DataError,
    Diverged,
    FedgenError,
    MissingDataError,
    NotReadyError,
    PairingError,
    PluginError,
    StoreError,
    SuiteError,
    UsageError,
    WouldLoseError,
    unknown,
)
from fedgen_bench.base.files import sha256_of
from fedgen_bench.base.safe_text import one_line
from fedgen_bench.contract.adapting import Adapted, is_language_model, wrap_with_peft
from fedgen_bench.contract.aggregation import weighted_mean
from fedgen_bench.contract.backbones import BackboneSpec, Ground
from fedgen_bench.contract.claims import ClaimSpec
from fedgen_bench.contract.contexts import ClientContext, LowRank, RoundContext, ServerContext
from fedgen_bench.contract.copies import private_copy
from fedgen_bench.contract.data import ClientData, Examples, Holdings, MicroBatch, Parts, Tensors, UnitTable
from fedgen_bench.contract.datasets import Archive, Chosen, DataFile, DatasetSpec, Distribution, Find
from fedgen_bench.contract.device_profiles import DeviceProfile
from fedgen_bench.contract.exporting import HowToLoad, PeftAdapter
from fedgen_bench.contract.hookspecs import hookimpl
from fedgen_bench.contract.lowrank import padded, product_norm, stacked, truncated
from fedgen_bench.contract.messages import Fit, FitReport, Model, Payload, Proximal, Update
from fedgen_bench.contract.plain import export_tensors, send_tensors, train_received
from fedgen_bench.contract.prompting import check_room, positions_of, stand_before_text
from fedgen_bench.contract.reports import RoundReport, RunResult
from fedgen_bench.contract.secrets import Exposure, Secrets
from fedgen_bench.contract.seeds import SeedTree, seeded_globals
from fedgen_bench.contract.sending import to_device
from fedgen_bench.contract.specs import (
    AdapterSpec,
    AttackSpec,
    ComponentSpec,
    CompressorSpec,
    EngineSpec,
    MechanismSpec,
    MetricSpec,
    NoParams,
    PartitionerSpec,
    StrategySpec,
    SuiteSource,
    TableFormatSpec,
    TaskSpec,
)
from fedgen_bench.registry.datasets import Places, find_dataset

if TYPE_CHECKING:
    from fedgen_bench.contract.recomputing import recomputed
    from fedgen_bench.contract.storage import store_weights

__version__ = "0.1.0"

__all__ = [
    "Adapted",
    "AdapterSpec",
    "Archive",
    "AttackSpec",
    "BackboneSpec",
    "Chosen",
    "ClaimSpec",
    "ClientContext",
    "ClientData",
    "ComponentSpec",
    "CompressorSpec",
    "DataError",
    "DataFile",
    "DatasetSpec",
    "DeviceProfile",
    "Distribution",
    "Diverged",
    "EngineSpec",
    "Examples",
    "Exposure",
    "FedgenError",
    "Find",
    "Fit",
    "FitReport",
    "Ground",
    "Holdings",
    "HowToLoad",
    "LowRank",
    "MechanismSpec",
    "MetricSpec",
    "MicroBatch",
    "MissingDataError",
    "Model",
    "NoParams",
    "NotReadyError",
    "PairingError",
    "PartitionerSpec",
    "Parts",
    "Payload",
    "PeftAdapter",
    "Places",
    "PluginError",
    "Proximal",
    "RoundContext",
    "RoundReport",
    "RunResult",
    "Secrets",
    "SeedTree",
    "ServerContext",
    "Session",
    "StoreError",
    "StrategySpec",
    "SuiteError",
    "SuiteSource",
    "TableFormatSpec",
    "TaskSpec",
    "Tensors",
    "UnitTable",
    "Update",
    "UsageError",
    "WouldLoseError",
    "cache_root",
    "check_room",
    "claims",
    "compare",
    "export",
    "export_tensors",
    "find_dataset",
    "hookimpl",
    "is_language_model",
    "leaderboard",
    "load_results",
    "one_line",
    "padded",
    "positions_of",
    "private_copy",
    "product_norm",
    "profile",
    "recomputed",
    "reproduce",
    "run_suite",
    "seeded_globals",
    "send_tensors",
    "sha256_of",
    "stacked",
    "stand_before_text",
    "store_weights",
    "to_device",
    "train_received",
    "truncated",
    "tune",
    "unknown",
    "validate",
    "weighted_mean",
    "wrap_with_peft",
]

_HEAVY = {"recomputed": "contract.recomputing", "store_weights": "contract.storage"}
_FRONT_DOOR = frozenset(
    {
        "Session", "claims", "compare", "export", "leaderboard", "load_results", "profile", "reproduce", "run_suite",
        "tune", "validate",
    }
)  # fmt: skip


def __getattr__(name: str) -> Any:
    """The functions of `api`, and what imports torch, imported when asked for: plugins that import this stay light."""
    if name in _HEAVY:
        return getattr(importlib.import_module(f"fedgen_bench.{_HEAVY[name]}"), name)
    if name in _FRONT_DOOR:
        return getattr(importlib.import_module("fedgen_bench.api"), name)
    raise AttributeError(f"module `fedgen_bench` has no attribute `{name}`")
