"""Rounds of a strategy on points so few that they can be followed by hand.

Every client has at most one batch of points, so each of its two steps with rate 0.1 sees all of them: with m their
mean, y = m + 0.81 (x - m). All runs start from x = (0.5, -1, 2).
"""

from __future__ import annotations

import pytest
import torch

from fedgen_bench.testing.simulation import Simulation

POINTS = torch.tensor([[2.0, 0.0, 0.0], [4.0, 0.0, 0.0], [0.0, 6.0, 0.0]])
TWO = ((0, 1), (2,))  # n = 2 with mean (3, 0, 0), and n = 1 with mean (0, 6, 0): weighted mean (2, 2, 0)


@pytest.fixture
def by_hand(registry):
    """Simulated rounds: (strategy, rounds, parameters) -> Simulation, with two clients that both take part."""

    def run(name, n_rounds=1, kind=Simulation, shards=TWO, **params):
        spec = registry.get("strategy", name).spec
        simulation = kind(spec, spec.params(**params), shards=shards)
        simulation.task.points = POINTS
        return simulation.run(n_rounds)

    return run


@pytest.fixture
def is_close():
    """Assert equality with a list of numbers, within fp32's rounding."""

    def compare(found, wanted):
        torch.testing.assert_close(found, torch.tensor(wanted), rtol=1e-5, atol=1e-6)

    return compare
