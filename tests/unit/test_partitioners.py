from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from fedgen_bench.contract.data import UnitTable


def split(registry, name, n_clients, labels, **params):
    spec = registry.get("partitioner", name).spec
    rng = np.random.Generator(np.random.Philox(key=1))
    return spec.build(spec.params(**params)).split(UnitTable(len(labels), {"label": labels}), n_clients, rng)


LABELS = np.arange(2000) % 5


def dominance(parts):
    """Mean share of a client's most frequent label."""
    return float(np.mean([np.bincount(LABELS[part], minlength=5).max() / len(part) for part in parts]))


def test_dirichlet_small_alpha_is_skewed_and_large_alpha_is_not(registry):
    # Five equally frequent labels: an even mix has a largest share of 0.2 (0.26 or so by chance).
    skewed, mixed = (split(registry, "dirichlet", 50, LABELS, alpha=alpha) for alpha in (0.05, 1000.0))
    assert dominance(skewed) > 0.75
    assert dominance(mixed) < 0.35


def test_dirichlet_clients_have_equal_sizes(registry):
    assert {len(part) for part in split(registry, "dirichlet", 7, LABELS, alpha=0.1)} == {285, 286}


def drawn_one_by_one(labels, n_clients, alpha, rng):
    """The split as its paper says it: every unit's label is drawn from the client's mix of those that are left."""
    values, counts = np.unique(labels, return_counts=True)
    pools = [list(rng.permutation(np.flatnonzero(labels == value))) for value in values]
    mixes = rng.dirichlet(np.maximum(alpha * counts / counts.sum() * len(values), 1e-6), size=n_clients)
    sizes = [len(part) for part in np.array_split(np.arange(len(labels)), n_clients)]
    parts = [[] for _ in range(n_clients)]
    for client in rng.permutation(n_clients):
        for _ in range(sizes[client]):
            left = np.array([len(pool) for pool in pools])
            weights = np.where(left > 0, mixes[client], 0.0)
            weights = weights if weights.sum() > 0 else left.astype(float)
            parts[client].append(pools[rng.choice(len(pools), p=weights / weights.sum())].pop())
    return [sorted(part) for part in parts]


@pytest.mark.parametrize("alpha", [1e-9, 0.1, 10.0])  # with the first, clients soon find their one label used up
@pytest.mark.parametrize(("n_clients", "n_labels"), [(1, 1), (7, 3), (50, 12), (300, 150)])
def test_dirichlet_draws_as_if_one_by_one(registry, n_clients, n_labels, alpha):
    labels = np.random.Generator(np.random.Philox(key=n_labels)).integers(n_labels, size=200)
    slow = drawn_one_by_one(labels, n_clients, alpha, np.random.Generator(np.random.Philox(key=1)))
    assert [part.tolist() for part in split(registry, "dirichlet", n_clients, labels, alpha=alpha)] == slow


def test_iid_is_shuffled_and_even(registry):
    parts = split(registry, "iid", 50, LABELS)
    assert {len(part) for part in parts} == {40}
    assert dominance(parts) < 0.4
    assert not any(np.array_equal(part, np.arange(40) + part[0]) for part in parts)


def test_contiguous_gives_runs(registry):
    parts = split(registry, "contiguous", 7, LABELS)
    assert all(np.all(np.diff(part) == 1) for part in parts)
    assert [int(part[0]) for part in parts] != sorted(int(part[0]) for part in parts)


def test_quantity_sigma_spreads_the_sizes(registry):
    equal, spread = ([len(part) for part in split(registry, "quantity", 20, LABELS, sigma=s)] for s in (0.0, 1.5))
    assert max(equal) - min(equal) <= 1
    assert max(spread) > 5 * min(spread)


def test_natural_gives_one_client_a_value_by_frequency(registry):
    labels = np.array([2, 1, 1, 0, 1, 2])
    parts = split(registry, "natural", 2, labels)
    assert [part.tolist() for part in parts] == [[1, 2, 4], [0, 5]]


def test_pathological_deals_shards_of_the_sorted_units(registry):
    # By hand: sorted by label, ties in natural order, the units are 1 3 6 | 0 2 7 | 4 5, the shards (1 3) (6 0) (2 7)
    # (4 5); the deal 2 0 3 1 gives the first client (2 7) and (1 3), the second (4 5) and (6 0).
    spec = registry.get("partitioner", "pathological").spec
    units = UnitTable(8, {"label": np.array([1, 0, 1, 0, 2, 2, 0, 1])})
    deal = SimpleNamespace(permutation=lambda n: np.array([2, 0, 3, 1][:n]))
    parts = spec.build(spec.params(shards_per_client=2)).split(units, 2, deal)
    assert [part.tolist() for part in parts] == [[1, 2, 3, 7], [0, 4, 5, 6]]


@pytest.mark.parametrize("shards", [1, 2, 4])
def test_pathological_clients_are_equal_and_hold_few_labels(registry, shards):
    # 2000 units of 5 equally frequent labels in 50 x `shards` shards: no shard holds two labels.
    parts = split(registry, "pathological", 50, LABELS, shards_per_client=shards)
    assert {len(part) for part in parts} == {40}
    assert max(len(np.unique(LABELS[part])) for part in parts) == min(shards, 4)


def test_pathological_is_dealt_at_random(registry):
    spec = registry.get("partitioner", "pathological").spec
    first, second = (
        spec.build(spec.params()).split(
            UnitTable(len(LABELS), {"label": LABELS}), 50, np.random.Generator(np.random.Philox(key=key))
        )
        for key in (1, 2)
    )
    assert not all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_pathological_needs_a_shard(registry):
    with pytest.raises(ValueError, match="shards_per_client must be at least 1, got 0"):
        split(registry, "pathological", 2, LABELS, shards_per_client=0)


@pytest.mark.parametrize("name", ["dirichlet", "natural", "pathological"])
def test_partitioner_names_a_missing_column(registry, name):
    with pytest.raises(ValueError, match=r"no column `district`\. They have: label"):
        split(registry, name, 2, LABELS, column="district")


def test_natural_refuses_more_clients_than_values(registry):
    with pytest.raises(ValueError, match="has 5 values; 6 clients"):
        split(registry, "natural", 6, LABELS)
