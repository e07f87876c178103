"""What several kinds of tests share: one thread a process, long tests first, and the toy world."""

from __future__ import annotations

import copy
import multiprocessing
import os
import shutil
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from hypothesis import HealthCheck, settings

from fedgen_bench.base import workers
from fedgen_bench.contract.params import make_params
from fedgen_bench.federation.assembly import assemble
from fedgen_bench.federation.loader import Loader
from fedgen_bench.registry.datasets import finder
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.suite.cells import expand
from fedgen_bench.suite.load import load_suite
from fedgen_bench.testing import toy
from fedgen_bench.testing.adapters import SEEDS

SLOW = (
    "crash",
    "e2e",
    "gpu",
    "contract/test_engines.py",
    "unit/test_published",
)  # what workers take first, the longest first


def pytest_configure(config):
    """One thread a process, those that tests start included: workers share the processor, and no bit depends on it.

    A busy machine is no finding either.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # beside a GPU, autograd refuses to work in a forked process
    torch.set_num_threads(1)
    settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("any machine")
    config.addinivalue_line("markers", "slow: among the long tests; `-m 'not slow'` leaves them out")


def pytest_collection_modifyitems(items):
    """Long tests first, marked as such."""
    items.sort(key=_place)
    for item in items:
        if _place(item) < len(SLOW):
            item.add_marker("slow")


def _place(item):
    """How late a test comes."""
    path = item.path.as_posix().removeprefix(f"{Path(__file__).parent.as_posix()}/")
    return next((place for place, name in enumerate(SLOW) if path.startswith(name)), len(SLOW))


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """`made_once(name, make)`: a folder that `make(folder)` fills in the worker that asks first; change copies only."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent

    def once(name, make):
        folder, work = base / name, base / f"{name}.part"
        with FileLock(base / f"{name}.lock"):
            if not folder.exists():
                shutil.rmtree(work, ignore_errors=True)
                work.mkdir()
                make(work)
                work.rename(folder)
        return folder

    return once


@pytest.fixture
def forked(monkeypatch):
    """Worker processes have what is imported here, and begin at once; those of a command start anew."""
    monkeypatch.setattr(workers, "_CONTEXT", multiprocessing.get_context("fork"))


@pytest.fixture(scope="session")
def registry():
    """Everything that is installed, and the toy world."""
    return load_registry([toy.__file__], environ={})


@pytest.fixture(scope="session")
def attach(registry):
    """An adapter on a private copy of a module, in evaluation mode."""

    def make(name, module, **values):
        spec = registry.get("adapter", name).spec
        params, problems = make_params(spec.params, values)
        assert problems == []
        adapted = spec.build(params).attach(copy.deepcopy(module), SEEDS)
        adapted.module.eval()
        return adapted

    return make


@pytest.fixture(scope="session")
def toy_suite(registry):
    """The toy suite with overrides."""
    return lambda *overrides: load_suite(registry.get("suite", "toy").spec, registry, overrides)


@pytest.fixture(scope="session")
def toy_experiment(registry, toy_suite):
    """A contender's run of the toy suite, built and not yet begun."""

    def make(contender, *overrides, seed=1):
        (spec,) = expand(toy_suite(*overrides), registry, contenders=[contender], seeds=[seed])
        return assemble(spec, Loader(registry, finder(registry)), torch.device("cpu"))

    return make
