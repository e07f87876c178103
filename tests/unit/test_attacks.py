"""Attacks followed by hand, and who is hostile."""

from __future__ import annotations

import pytest
import torch
from fedgen_bench_plugins.attacks import gaussian, scaled, sign_flip

from fedgen_bench.federation.assembly import _attackers
from fedgen_bench.suite.cellconfig import ResolvedAttack
from fedgen_bench.testing.toy_federation import SEEDS

RECEIVED = {"x": torch.tensor([1.0, 2.0])}
UPDATE = {"x": torch.tensor([1.5, 1.0]), "own": torch.tensor([3.0]), "count": torch.tensor([7])}


def noise(seed=0):
    return torch.Generator().manual_seed(seed)


def test_sign_flip_turns_the_change_around():
    # x - 2 (y - x) = (1, 2) - 2 (0.5, -1)
    sent = sign_flip.SignFlip(sign_flip.Params(strength=2.0)).distort(UPDATE, RECEIVED, noise())
    assert sent["x"].tolist() == [0.0, 4.0]
    assert sent["own"].tolist() == [-6.0]
    assert sent["count"].tolist() == [7]


def test_scaling_multiplies_the_change():
    sent = scaled.Scaled(scaled.Params(factor=10.0)).distort(UPDATE, RECEIVED, noise())
    assert sent["x"].tolist() == [6.0, -8.0]


def test_gaussian_noise_has_the_size_of_the_change():
    received = {"x": torch.zeros(20_000)}
    update = {"x": torch.full((20_000,), 0.5)}
    sent = gaussian.Gaussian(gaussian.Params(size=4.0)).distort(update, received, noise())["x"]
    assert float(sent.std()) == pytest.approx(2.0, rel=0.02)
    assert abs(float(sent.mean())) < 0.05
    again = gaussian.Gaussian(gaussian.Params(size=4.0)).distort(update, received, noise())["x"]
    assert torch.equal(sent, again)


def test_hostile_clients_are_the_same_for_every_contender():
    from dataclasses import replace

    attack = ResolvedAttack(name="sign_flip", params={}, version="1", source_sha256="", fraction=0.2)
    drawn = _attackers(attack, 50, SEEDS)
    assert len(drawn) == 10
    assert drawn == _attackers(attack, 50, replace(SEEDS, strategy="another", adapter="another"))
    assert drawn != _attackers(attack, 50, replace(SEEDS, seed=6))
    assert _attackers(None, 50, SEEDS) == frozenset()
