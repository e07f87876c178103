"""What several kinds of tests share: a registry with the toy world, and runs of its suite."""

from __future__ import annotations

import pytest
import torch

from fedgen_bench.data.catalog import finder
from fedgen_bench.federation.setting import Setting
from fedgen_bench.federation.world import Worlds
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.suite.suites import expand, load_suite
from fedgen_bench.testing import toy


@pytest.fixture(scope="session")
def registry():
    """Everything that is installed, and the toy world."""
    return load_registry([toy.__file__], environ={})


@pytest.fixture(scope="session")
def toy_suite(registry):
    """The toy suite with overrides."""
    return lambda *overrides: load_suite(registry.get("suite", "toy").spec, registry, overrides)


@pytest.fixture(scope="session")
def toy_setting(registry, toy_suite):
    """A contender's run of the toy suite, built and not yet begun."""

    def make(contender, *overrides, seed=1):
        (spec,) = expand(toy_suite(*overrides), registry, contenders=[contender], seeds=[seed])
        return Setting.make(spec, registry, Worlds(registry, finder()), torch.device("cpu"))

    return make
