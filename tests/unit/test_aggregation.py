from __future__ import annotations

import pytest
import torch

from fedgen_bench import Update, weighted_mean
from fedgen_bench.testing.bits import same_bits


def test_weighted_mean_is_the_one_computed_by_hand():
    # (1 * 2 + 3 * 6 + 4 * (-1)) / 8 = 2
    updates = [Update({"w": torch.tensor([value])}, n) for n, value in ((1, 2.0), (3, 6.0), (4, -1.0))]
    assert float(weighted_mean(updates)["w"]) == pytest.approx(2.0, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_weighted_mean_gives_identical_clients_their_own_bits(dtype):
    tensors = {"w": torch.randn(257, generator=torch.Generator().manual_seed(0)).to(dtype) * (1 / 3)}
    for sizes in ((5,), (1, 1), (1, 9, 2, 77, 1)):
        assert same_bits(weighted_mean(Update(tensors, n) for n in sizes), tensors)


def test_weighted_mean_keeps_the_precision_of_wide_tensors():
    # 1 + 2^-40 is not a float32; the mean of it and 1 is 1 + 2^-41.
    mean = weighted_mean(Update({"w": torch.tensor([v], dtype=torch.float64)}, 1) for v in (1.0, 1.0 + 2.0**-40))
    assert float(mean["w"]) == 1.0 + 2.0**-41


def test_weighted_mean_accumulates_narrow_tensors_in_fp32():
    # In float16 a running mean would stick: 2048 + 1 rounds to 2048.
    mean = weighted_mean(
        Update({"w": torch.tensor([v], dtype=torch.float16)}, 1) for v in (2048.0, 2050.0, 2052.0, 2058.0)
    )
    assert mean["w"].dtype == torch.float16
    assert float(mean["w"]) == 2052.0


def test_weighted_mean_does_not_depend_on_the_order_of_names():
    updates = [Update({"a": torch.tensor([0.1 * i]), "b": torch.tensor([1 / i])}, i) for i in (1, 2, 3)]
    turned = [Update(dict(reversed(list(one.tensors.items()))), one.n_examples) for one in updates]
    assert same_bits(weighted_mean(updates), weighted_mean(turned))


def test_weighted_mean_leaves_updates_alone():
    updates = [Update({"w": torch.tensor([1.0])}, 1), Update({"w": torch.tensor([3.0])}, 1)]
    mean = weighted_mean(updates)
    mean["w"].add_(5.0)
    assert [float(one.tensors["w"]) for one in updates] == [1.0, 3.0]


def test_weighted_mean_without_updates_raises():
    with pytest.raises(ValueError, match="at least one update"):
        weighted_mean([])


def test_weighted_mean_of_empty_updates_is_empty():
    assert weighted_mean([Update({}, 3), Update({}, 2)]) == {}


@pytest.mark.parametrize(
    ("ours", "theirs"), [(torch.tensor([-6]), torch.tensor([-5])), (torch.tensor([True]), torch.tensor([False]))]
)
def test_weighted_mean_refuses_integers_and_booleans_that_differ(ours, theirs):
    with pytest.raises(ValueError, match="Clients differ in `n`, whose dtype"):
        weighted_mean([Update({"n": ours}, 1), Update({"n": theirs}, 9)])
    agreed = weighted_mean([Update({"n": ours}, 1), Update({"n": ours.clone()}, 9)])
    assert same_bits(agreed, {"n": ours})
