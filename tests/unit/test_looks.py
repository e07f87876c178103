"""A contender looks the same wherever it is drawn, and its neighbours look otherwise."""

from itertools import combinations

import pytest

from fedgen_bench.base.looks import DARK_HUES, HUES, N_MARKERS, Look, looks, method_of, spread
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.suite.load import load_suite
from fedgen_bench.suite.sweeps import variants

REGISTRY = load_registry(environ={})


def test_look_follows_from_the_name_alone():
    every = looks(["fedavg_full", "fedgen_edge", "frozen"])
    assert looks(["frozen"])["frozen"] == every["frozen"]
    assert looks(["x", "fedgen_edge"])["fedgen_edge"] == every["fedgen_edge"]
    assert every["fedavg_full"] == Look(3, 2)  # published drawings have it: another salt would repaint them all


@pytest.mark.parametrize("suite", sorted(REGISTRY.components["suite"]))
def test_contenders_of_a_suite_have_colours_of_their_own(suite):
    found = looks(one.name for one in variants(load_suite(REGISTRY.get("suite", suite).spec, REGISTRY)))
    assert len({look.hue for look in found.values()}) == len({method_of(name) for name in found})
    assert not [pair for pair in combinations(found, 2) if found[pair[0]] == found[pair[1]]]


def test_points_of_a_sweep_are_shades_of_their_contender():
    found = looks(["edge@rank=16", "edge@rank=2", "full", "edge@rank=0.5"])  # as they are ranked
    shades = [found[f"edge@rank={rank}"] for rank in (0.5, 2, 16)]
    assert {(one.hue, one.marker) for one in shades} == {(looks(["edge"])["edge"].hue, looks(["edge"])["edge"].marker)}
    assert [one.share for one in shades] == [0.6, 0.8, 1.0]
    assert found["full"].share == 1.0


def test_name_is_read_up_to_what_hangs_on_it():
    for name in ("edge", "edge@rank=2", "edge (training.local_steps=3)", "edge, kept"):
        assert method_of(name) == "edge"


def test_shade_is_mixed_with_white():
    assert Look(0, 0).on_white == HUES[0]
    assert Look(0, 0, 0.5).on_white == "#85b7dc"  # halfway between #0b6fb8 and #ffffff
    assert all(0 <= one.marker < N_MARKERS for one in looks(map(str, range(50))).values())


def test_names_in_a_column_keep_their_order_and_distance():
    assert spread([5.0, 50.0], 0.0, 100.0, 10.0) == [5.0, 50.0]
    assert spread([50.0, 49.0, 51.0], 0.0, 100.0, 10.0) == [59.0, 49.0, 69.0]
    assert spread([99.0, 98.0, 97.0], 0.0, 100.0, 10.0) == [100.0, 90.0, 80.0]
    assert spread([1.0] * 4, 0.0, 20.0, 10.0) == [-10.0, 0.0, 10.0, 20.0]  # one more than fits
    assert spread([], 0.0, 1.0, 1.0) == []


def _luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one, other):
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_colours_stand_out_from_either_ground():  # WCAG 2.2, 1.4.11: 3 : 1 for what is drawn
    assert min(_contrast(hue, "#ffffff") for hue in HUES) >= 3
    assert min(_contrast(hue, "#14171c") for hue in DARK_HUES) >= 3
