"""The files of a published folder, by name, and what they may hold."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Registry

RESULTS = "results.json"
BANDS = "bands.csv"
LEDGER = "ledger.parquet"
METRICS = "metrics.parquet"
TIMING = "timing.csv"
ENVIRONMENT = "environment.json"
MANIFEST = "SHA256SUMS"
TUNING = "tuning.csv"
PERSONALIZATION = "personalization.csv"
CLAIMS = "claims.md"
CLAIMS_FOLDER = "claims"
REPRODUCTION = "reproduction.json"
RESULTS_BYTES = 256 << 20  # of results.json that are read at most
_BY_HAND = ("learning_rates.csv",)
_OF_CLAIMS = re.compile(rf"{CLAIMS_FOLDER}/[^/]+\.(csv|svg|md)")


def is_known(name: str, registry: Registry) -> bool:
    """Whether a published folder may hold a file of this name, which is relative to it."""
    tuned = {TUNING, PERSONALIZATION}
    written = {RESULTS, BANDS, LEDGER, METRICS, TIMING, ENVIRONMENT, MANIFEST, CLAIMS, REPRODUCTION, *tuned, *_BY_HAND}
    return name in written | table_names(registry) or _OF_CLAIMS.fullmatch(name) is not None


def table_names(registry: Registry) -> set[str]:
    """Files that the registered table formats write."""
    return {one.spec.filename for one in registry.components["table_format"].values()}


def left_out(registry: Registry, folder: Path) -> set[str]:
    """Files of formats that are written on request and that the folder, or what is to be there, does not have."""
    formats = [one.spec for one in registry.components["table_format"].values()]
    return {one.filename for one in formats if one.on_request and not (folder / one.filename).is_file()}


def drawn_names(registry: Registry) -> set[str]:
    """Those of `table_names` whose bytes are not compared."""
    return {one.spec.filename for one in registry.components["table_format"].values() if not one.spec.exact}
