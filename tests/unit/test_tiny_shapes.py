"""Generated shapes: the same for a key, balanced, told apart by their class alone."""

from __future__ import annotations

import numpy as np
import pytest
from fedgen_bench_plugins.datasets import tiny_shapes


def make(n, key=1, **choice):
    return tiny_shapes.make(n, np.random.Generator(np.random.Philox(key=key)), **choice)


def covered(name, radius=6.0):
    """Where a shape of this radius in the middle of an image lies, at the centres of its pixels."""
    x, y = np.meshgrid(np.arange(16) - 7.5, np.arange(16) - 7.5)
    return tiny_shapes._distance(name, x[None], y[None], np.full((1, 1, 1), radius))[0] < 0


def test_images_are_those_of_the_key():
    first, again, other = make(50), make(50), make(50, key=2)
    assert np.array_equal(first.pixels, again.pixels)
    assert np.array_equal(first.labels, again.labels)
    assert not np.array_equal(first.pixels, other.pixels)
    assert (first.pixels.dtype, first.pixels.shape, first.labels.dtype) == (np.uint8, (50, 3, 16, 16), np.int64)


def test_classes_are_equally_many_and_in_random_order():
    labels = make(43).labels
    assert np.bincount(labels).tolist() == [5, 5, 5, 4, 4, 4, 4, 4, 4, 4]
    assert (np.diff(labels) < 0).any()
    assert np.bincount(make(8, classes=tiny_shapes.KNOWN).labels, minlength=10).tolist() == [
        2,
        2,
        0,
        2,
        0,
        0,
        0,
        2,
        0,
        0,
    ]


def test_images_have_a_plain_background_and_a_shape_that_differs_in_every_channel():
    solid = [tiny_shapes.CLASSES.index(name) for name in ("disc", "square", "triangle")]  # their edge is the least
    for pixels in make(200, classes=solid).pixels.astype(float) / 255:
        colours, counts = np.unique(pixels.reshape(3, -1), axis=1, return_counts=True)
        background, shape = colours[:, np.argsort(counts)[-2:]].T
        assert (np.abs(shape - background) > 0.34).all()


@pytest.mark.parametrize(
    ("name", "area"),
    [
        # pi r^2, (1.7 r)^2, base 1.8 r and height 1.8 r, pi (r^2 - (r / 2)^2), 2 x 2 r x 0.56 r less the middle
        ("disc", np.pi * 36), ("square", 10.2**2), ("triangle", 10.8**2 / 2), ("ring", np.pi * 27),
        ("plus", 2 * 12 * 3.36 - 3.36**2), ("cross", 2 * 12 * 3.36 - 3.36**2), ("diamond", 2 * 36),
        # three bars of 0.4 r by 2 r; 13 of the 25 fields of 0.4 r
        ("horizontal bars", 3 * 2.4 * 12), ("vertical bars", 3 * 2.4 * 12), ("checker", 13 * 2.4**2),
    ],
)  # fmt: skip
def test_shape_has_its_area(name, area):
    # On 16 x 16 points, hence the tolerance; the mean over radii evens the grid out.
    found = np.mean([covered(name, radius).sum() * (6.0 / radius) ** 2 for radius in np.linspace(5.0, 7.0, 41)])
    assert found == pytest.approx(area, rel=0.06)


def test_bars_and_checker_alternate():
    # Bars from -6 to -3.6, -1.2 to 1.2 and 3.6 to 6; pixel i has its centre at i - 7.5.
    upright = covered("vertical bars")
    assert np.flatnonzero(upright[8]).tolist() == [2, 3, 7, 8, 12, 13]
    assert np.array_equal(upright, covered("horizontal bars").T)
    checker = covered("checker")
    assert [bool(checker[one]) for one in ((2, 2), (2, 4), (4, 2), (4, 4))] == [True, False, False, True]
