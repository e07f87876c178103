"""Statistics of clients' changes, against what can be worked out by hand."""

import math

import pytest
import torch

from fedgen_bench.federation import changes
from fedgen_bench.federation.changes import Changes
from fedgen_bench.federation.drift import Drift


def gathered(*updates, received=None):
    drift = Drift()
    for values, n_examples in updates:
        tensors = {"w": torch.tensor(values)}
        drift.add(Changes(tensors, {"w": torch.zeros(len(values))} if received is None else received), n_examples)
    return drift.summary()


def test_drift_of_two_clients_is_what_the_formulas_give():
    # d1 = (1, 0) with n = 1, d2 = (0, 1) with n = 3: mean (1/4, 3/4), |mean|^2 = 10/16.
    # Dispersion^2 = sum p |d|^2 - |mean|^2 = 1 - 10/16. Cosines: (1/4) / |mean| and (3/4) / |mean|.
    found = gathered(([1.0, 0.0], 1), ([0.0, 1.0], 3))
    norm = math.sqrt(10) / 4
    assert found["mean_change_norm"] == pytest.approx(norm)
    assert found["dispersion"] == pytest.approx(math.sqrt(6) / 4)
    assert found["cosine_to_mean"] == pytest.approx((0.25 / norm + 0.75 / norm) / 2)


def test_drift_of_equal_changes_is_zero_and_their_cosine_one():
    found = gathered(([3.0, 4.0], 2), ([3.0, 4.0], 5))
    assert found["mean_change_norm"] == pytest.approx(5)
    assert found["dispersion"] == pytest.approx(0, abs=1e-3)
    assert found["cosine_to_mean"] == pytest.approx(1)


def test_drift_counts_the_change_not_the_value():
    received = {"w": torch.tensor([1.0, 1.0])}
    found = gathered(([2.0, 1.0], 1), ([0.0, 1.0], 1), received=received)
    assert found["mean_change_norm"] == pytest.approx(0)
    assert found["dispersion"] == pytest.approx(1)
    assert "cosine_to_mean" not in found


def test_drift_needs_two_updates_that_can_be_compared():
    assert gathered(([1.0, 2.0], 1)) == {}
    other = {"w": torch.zeros(3), "steps": torch.tensor([1])}
    assert gathered(([1.0, 2.0], 1), ([1.0, 2.0], 1), received=other) == {}


def test_drift_leaves_out_clients_that_did_not_move_from_the_cosine():
    found = gathered(([1.0, 0.0], 1), ([0.0, 0.0], 1))
    assert found["cosine_to_mean"] == pytest.approx(1)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0)])
def test_drift_of_clients_of_several_ranks_is_that_of_changes_padded_with_zeros(order):
    ranks = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 4.0], [1.0, 2.0]]), torch.zeros(3, 2)
    padded = [torch.cat([one, torch.zeros(3 - len(one), 2)]) for one in ranks]

    def summary(changes):
        drift = Drift()
        for n in order:
            drift.add(Changes({"a": changes[n]}, {"a": torch.zeros_like(changes[n])}), n + 1)
        return drift.summary()

    assert summary(ranks) == summary(padded)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64])
@pytest.mark.parametrize("block", [7, 1 << 18])
def test_changes_in_blocks_have_the_bits_of_whole_tensors(monkeypatch, dtype, block):
    monkeypatch.setattr(changes, "_BLOCK", block)
    generator = torch.Generator().manual_seed(3)
    shapes = {"a": (5, 11), "b": (7,), "c": (), "d": (0, 3), "e": (4, 9)}
    received = {name: torch.randn(shape, generator=generator).to(dtype) for name, shape in shapes.items()}
    received["e"] = received["e"].T.contiguous().T
    updates = [
        {name: one + torch.randn(one.shape, generator=generator).to(dtype) for name, one in received.items()}
    ] * 2
    drift, plain = Drift(), {name: torch.zeros(shape) for name, shape in shapes.items()}
    for n, update in enumerate(updates, start=2):
        whole = {name: (one - received[name]).float() for name, one in update.items()}
        found = Changes(update, received)
        assert found.norm == math.sqrt(math.fsum(float((one * one).sum()) for one in whole.values()))
        drift.add(found, n)
        for name, one in whole.items():
            plain[name].add_(one, alpha=n)
    square = math.fsum(float((one * one).sum()) for one in plain.values()) / 5.0**2
    assert drift.summary()["mean_change_norm"] == math.sqrt(square)


def test_an_update_that_is_read_is_let_go_before_the_next():
    import weakref

    from fedgen_bench import Update, weighted_mean

    gone = []

    def updates():
        for n in (1, 2, 3):
            tensor = torch.full((3,), float(n))
            seen = weakref.ref(tensor)
            yield Update({"w": tensor}, n)
            del tensor
            gone.append(seen() is None)

    weighted_mean(updates())
    assert gone == [True] * 3
