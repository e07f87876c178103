"""What lies in `baselines/` and what in `plugins/`."""

from __future__ import annotations

import tomllib
from pathlib import Path

import fedgen_bench_baselines
import pytest

from fedgen_bench.registry.plugins import load_registry

REFERENCE = {("strategy", "fedgen_edge"), ("adapter", "lora")}
SUITES = sorted(Path(*fedgen_bench_baselines.__path__).glob("suites/*.toml"))


def named(suite):
    """Strategies and adapters of a suite's contenders."""
    contenders = tomllib.loads(suite.read_text(encoding="utf-8"))["contender"]
    return {(kind, one[kind]["name"]) for one in contenders for kind in ("strategy", "adapter")}


@pytest.fixture(scope="module")
def baselines():
    registry = load_registry(environ={})
    return {
        (kind, name)
        for kind in ("strategy", "adapter")
        for name, one in registry.components[kind].items()
        if one.spec.build.__module__.startswith("fedgen_bench_baselines.")
    }


@pytest.mark.parametrize("suite", SUITES, ids=lambda path: path.stem)
def test_headline_suite_compares_with_baselines_alone(suite, baselines):
    assert named(suite) - REFERENCE <= baselines


def test_every_baseline_stands_in_a_headline_suite(baselines):
    assert baselines == set().union(*map(named, SUITES)) - REFERENCE


def test_headline_suites_have_every_reference_row(baselines):
    strategies = {one for one in baselines if one[0] == "strategy"}
    for suite in SUITES:
        assert strategies <= named(suite), suite.stem
