"""Median, trimmed mean and Krum on updates that can be followed by hand; numbers of examples must not matter."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest
import torch

from fedgen_bench import RoundContext, Update
from fedgen_bench.testing.bits import same_bits
from fedgen_bench.testing.toy_federation import SEEDS


@pytest.fixture
def aggregate(registry):
    """The global tensors that a strategy makes of tensor maps; the first client has a thousand times the examples."""

    def run(name, maps, **params):
        spec = registry.get("strategy", name).spec
        strategy = spec.build(spec.params(**params))
        ctx = RoundContext(3, tuple(range(len(maps))), 20, SEEDS)
        updates = (Update(one, 1 if i else 1000) for i, one in enumerate(maps))
        return strategy.aggregate(strategy.init(maps[0], None), updates, ctx).tensors

    return run


def maps_of(*rows):
    """`a` holds all but the last number of a row, `b` the last."""
    return [{"a": torch.tensor(row[:-1]), "b": torch.tensor([[row[-1]]])} for row in rows]


def random_maps(n):
    noise = torch.Generator().manual_seed(8)
    return [{"a": torch.randn(3, generator=noise), "b": torch.randn(2, 2, generator=noise)} for _ in range(n)]


def test_median_of_an_odd_number_is_the_middle_value_of_each_coordinate(aggregate, is_close):
    found = aggregate("median", maps_of((5.0, -1.0, 0.0), (1.0, 7.0, 2.0), (2.0, 3.0, 9e9)))
    is_close(found["a"], [2.0, 3.0])
    is_close(found["b"], [[2.0]])


def test_median_of_an_even_number_is_the_mean_of_the_two_in_the_middle(aggregate, is_close):
    found = aggregate("median", maps_of((5.0, -1.0), (1.0, 7.0), (2.0, 3.0), (9e9, 2.0)))
    is_close(found["a"], [3.5])
    is_close(found["b"], [[2.5]])


def test_trimmed_mean_leaves_out_both_ends_of_each_coordinate(aggregate, is_close):
    # a: 1, 2, 6, 10, 90 -> (2 + 6 + 10) / 3; b: -50, 0, 1, 2, 3 -> (0 + 1 + 2) / 3
    rows = ((10.0, 0.0), (1.0, 3.0), (90.0, 2.0), (2.0, -50.0), (6.0, 1.0))
    found = aggregate("trimmed_mean", maps_of(*rows), n_trimmed=1)
    is_close(found["a"], [6.0])
    is_close(found["b"], [[1.0]])


def test_trimmed_mean_with_nothing_trimmed_is_the_unweighted_mean(aggregate):
    maps = random_maps(6)
    found = aggregate("trimmed_mean", maps, n_trimmed=0)
    for name in ("a", "b"):
        torch.testing.assert_close(found[name], torch.stack([one[name] for one in maps]).mean(dim=0))


@pytest.mark.parametrize("n", [1, 4, 5, 8])
def test_median_is_the_mean_trimmed_to_the_middle(aggregate, n):
    maps = random_maps(n)
    trimmed = aggregate("trimmed_mean", maps, n_trimmed=(n - 1) // 2)
    assert same_bits(aggregate("median", maps), trimmed)


@pytest.mark.parametrize("name", ["median", "trimmed_mean", "krum"])
def test_order_of_clients_does_not_matter(aggregate, name):
    maps = random_maps(5)
    found = [aggregate(name, list(order)) for order in itertools.islice(itertools.permutations(maps), 0, 120, 17)]
    assert all(same_bits(one, found[0]) for one in found)


# Places 0, 1, 2, 4, 9, 50 on the diagonal of both tensors, so squared distances are 3 times those on the line.
# n = 6, f = 1: the n - f - 2 = 3 nearest. Scores on the line: 1+4+16 = 21, 1+1+9 = 11, 1+4+4 = 9, 4+9+16 = 29,
# 25+49+64 = 138, ...: place 2. One neighbour more gives place 4 (4+9+16+25 = 54 < 58), one less, or counting an update
# as its own neighbour, gives place 1 (2 < 5), and so do distances that are not squared (5 = 5, the lower id).
PLACES = (0.0, 1.0, 2.0, 4.0, 9.0, 50.0)


def on_a_line(places):
    return maps_of(*((place, place, place) for place in places))


def test_krum_takes_the_update_with_the_lowest_score(aggregate, is_close):
    found = aggregate("krum", on_a_line(PLACES), n_byzantine=1)
    is_close(found["a"], [2.0, 2.0])
    is_close(found["b"], [[2.0]])


def test_multi_krum_is_the_unweighted_mean_of_the_lowest_scores(aggregate, is_close):
    # Scores 9, 11 and 21: places 2, 1 and 0.
    is_close(aggregate("krum", on_a_line(PLACES), n_byzantine=1, n_selected=3)["b"], [[1.0]])


def test_krum_measures_distance_over_all_tensors(aggregate, is_close):
    # In `a` alone the first three agree; `b` puts the first far away. f = 0, n = 3: one nearest, the first of equals.
    found = aggregate("krum", maps_of((0.0, 60.0), (0.0, 1.0), (0.0, 2.0)), n_byzantine=0)
    is_close(found["b"], [[1.0]])


@pytest.mark.parametrize("name", ["median", "trimmed_mean", "krum"])
def test_one_hostile_update_cannot_move_the_result_out_of_the_honest_range(aggregate, name):
    honest = on_a_line((1.0, 1.1, 1.2, 1.3))
    for hostile in (-1e8, 1e8):
        for value in aggregate(name, [*on_a_line((hostile,)), *honest])["a"].tolist():
            assert 1.0 <= value <= 1.3 + 1e-6


@pytest.mark.parametrize(
    ("name", "n", "params", "message"),
    [
        ("krum", 4, {"n_byzantine": 1}, "n_byzantine = 1 needs at least 5 updates, round 3 has 4"),
        ("krum", 2, {"n_byzantine": 0}, "n_byzantine = 0 needs at least 3 updates, round 3 has 2"),
        ("krum", 5, {"n_byzantine": 1, "n_selected": 5}, "n_selected = 5 of 5 .* at most 4"),
        ("trimmed_mean", 4, {"n_trimmed": 2}, "2 at each end needs at least 5 updates, round 3 has 4"),
    ],
)
def test_too_few_updates_are_refused_with_the_numbers(aggregate, name, n, params, message):
    with pytest.raises(ValueError, match=message):
        aggregate(name, random_maps(n), **params)


@pytest.mark.parametrize("name", ["median", "trimmed_mean"])
@pytest.mark.parametrize(("values", "expected"), [((7, 7, 7, 7), 7), ((1, 2, 3, 4), None)])
def test_integers_are_what_clients_agree_on_or_refused(registry, name, values, expected):
    spec = registry.get("strategy", name).spec
    state = SimpleNamespace(tensors={"count": torch.tensor([0])})
    updates = [Update({"count": torch.tensor([one])}, 1) for one in values]

    def aggregate():
        return spec.build(spec.params()).aggregate(state, iter(updates), None).tensors["count"]

    if expected is None:
        with pytest.raises(ValueError, match="Clients differ in `count`"):
            aggregate()
    else:
        assert torch.equal(aggregate(), torch.tensor([expected]))
