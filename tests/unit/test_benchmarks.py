"""Benchmarks are skipped with the other tests; what they are made of runs here once, on its smallest case."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from safetensors.torch import load_file

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def imported(monkeypatch):
    """A module of the benchmarks by name."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module


@pytest.mark.parametrize("name", sorted(path.stem for path in BENCHMARKS.glob("test_*.py")))
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
