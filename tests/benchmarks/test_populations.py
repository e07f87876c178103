"""Splitting over very many clients against one permutation of the same units, and what a round costs among how many."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fedgen_bench import UnitTable
from fedgen_bench.registry.plugins import load_registry

PROGRAM = Path(__file__).parent / "crowd.py"


def generator():
    return np.random.Generator(np.random.Philox(key=1))


@pytest.mark.parametrize("name", ["iid", "contiguous", "quantity", "pathological", "dirichlet"])
def test_split_over_a_hundred_thousand_clients_against_a_permutation(against, name):
    n_clients, n_units = 100_000, 1_000_000
    spec = load_registry(environ={}).get("partitioner", name).spec
    units, partitioner = UnitTable(n_units, {"label": np.arange(n_units) % 10}), spec.build(spec.params())
    _, parts = against(
        "permutation", lambda: generator().permutation(n_units),
        lambda: partitioner.split(units, n_clients, generator()), 5, n_clients, "client",
    )  # fmt: skip
    assert parts.sizes.sum() == n_units


def taken(n_clients, partitioner):
    """What one cell with ten units a client took, in a process of its own."""
    given = [str(PROGRAM), str(n_clients), str(10 * n_clients), "11", partitioner]
    return json.loads(subprocess.run([sys.executable, *given], check=True, capture_output=True, text=True).stdout)


@pytest.mark.parametrize("partitioner", ["iid", "dirichlet"])
def test_a_hundred_clients_of_a_million_against_all_of_a_hundred(benchmark, told, partitioner):
    few = taken(100, partitioner)
    many = benchmark.pedantic(taken, (1_000_000, partitioner), rounds=1)
    told(
        f"{many['seconds']:.1f} s in all, {many['peak_mib']:.0f} MiB at most; a round {many['round_seconds']:.3f} s; "
        f"among a hundred {few['seconds']:.1f} s, {few['peak_mib']:.0f} MiB, {few['round_seconds']:.3f} s",
        **many, **{f"few_{name}": value for name, value in few.items()},
    )  # fmt: skip
    assert many["peak_mib"] - few["peak_mib"] < 1024
