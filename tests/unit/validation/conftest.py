"""A published folder to be damaged."""

import json
import shutil

import pytest
from made_validation import CIFAR10

from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.results.manifest import write_manifest

FILES = (
    "SHA256SUMS", "bands.csv", "environment.json", "ledger.parquet", "metrics.parquet", "results.json", "table.csv",
    "table.json", "table.md", "timing.csv",
)  # fmt: skip


@pytest.fixture(scope="module")
def registry():
    return load_registry(environ={})


@pytest.fixture
def folder(tmp_path):
    """A copy of what results, ledger and tables are in; pictures are left out."""
    copied = tmp_path / "cifar10"
    copied.mkdir()
    for name in FILES:
        shutil.copyfile(CIFAR10 / name, copied / name)
    write_manifest(copied)
    return copied


@pytest.fixture(scope="module")
def original():
    return json.loads((CIFAR10 / "results.json").read_text())
