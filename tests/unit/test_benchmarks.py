"""Benchmarks are skipped with the other tests; what they are made of runs here once, on its smallest case."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fedgen_bench.federation.assembly import assemble
from fedgen_bench.federation.loader import Loader
from fedgen_bench.registry.datasets import finder
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.suite.cells import expand
from fedgen_bench.suite.load import load_suite

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def imported(monkeypatch):
    """A module of the benchmarks by name."""
    monkeypatch.syspath_prepend(BENCHMARKS / "peers")
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module


@pytest.mark.parametrize("name", sorted(path.stem for path in BENCHMARKS.glob("*.py") if path.stem != "conftest"))
def test_benchmarks_can_be_imported(imported, name):
    assert imported(name)


def test_a_still_cell_and_the_bare_loop_end_at_the_same_tensors(imported, tmp_path):
    still = imported("still")
    params = still.Params(n_tensors=2, side=3)
    ran = still.run_still(params, 3, tmp_path)
    assert ran.status == "done"
    (final,) = tmp_path.rglob("final.safetensors")
    model = still.module_of(params)
    names = [name for name, _ in model.named_parameters()]
    expected = dict(zip(names, still.bare_rounds(model, 3), strict=True))
    found = load_file(final)
    assert found.keys() == expected.keys()
    assert 0 < float(found["bias"]) < 1
    assert all(found[name].allclose(expected[name], atol=1e-6) for name in expected)


def test_runners_without_the_harness_do_the_still_cell_s_work(imported, tmp_path):
    still = imported("still")
    params = still.Params(n_tensors=2, side=3)
    still.export(params, tmp_path)
    work = imported("work").load_work(str(tmp_path))
    start = work.taken()
    work.put(start)
    work.train(0)
    (expected,) = {one.item() for one in still.bare_rounds(still.module_of(params), 1) if one.numel() == 1}
    trained = work.taken()
    assert float(trained["bias"]) == pytest.approx(expected)
    assert all(trained[name].equal(start[name]) for name in start if name != "bias")


def test_runners_without_the_harness_train_what_its_suite_trains(imported, tmp_path):
    small_lms = imported("small_lms")
    size = small_lms.Size("tiny-wire-lm", batch=2, block=8, steps=1)
    small_lms.export(size, tmp_path)
    work = imported("work").load_work(str(tmp_path))
    loaded = load_registry([small_lms.__file__], environ={})
    suite = load_suite(loaded.get("suite", "small-lms").spec, loaded, size.overrides)
    (spec,) = expand(suite, loaded, contenders=["lora"], seeds=[1])
    experiment = assemble(spec, Loader(loaded, finder(loaded)), torch.device("cpu"))
    clients = [experiment.examples(i).tensors["blocks"] for i in range(small_lms.COHORT)]
    assert {one.numpy().tobytes() for one in clients} == {one.numpy().tobytes() for one in work.clients}
    sizes = [sorted(tuple(one.shape) for one in tensors.values()) for tensors in (work.trainable, experiment.start)]
    assert sizes[0] == sizes[1]
    before = work.loss(work.clients[0]).item()
    work.train(0)
    assert work.loss(work.clients[0]).item() < before


def test_every_runner_of_the_comparison_is_there(imported):
    compare = imported("compare")
    assert all((BENCHMARKS / "peers" / runner.script).is_file() for runner in compare.RUNNERS)
