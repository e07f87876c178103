"""Tiny shapes: generated images of 16 x 16 pixels, one coloured shape each on a plain background; ten classes.

Position, size and both colours of an image are random; its class decides the shape alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fedgen_bench_plugins.datasets.images import Images

CLASSES = (
    "disc", "square", "triangle", "ring", "plus", "cross", "diamond", "horizontal bars", "vertical bars", "checker",
)  # fmt: skip
KNOWN = (0, 1, 3, 7)
SIZE = 16
_RADIUS = (4.5, 6.5)
_CONTRAST = 0.35


def make(n: int, rng: np.random.Generator, classes: Sequence[int] = range(len(CLASSES))) -> Images:
    """Images in random order, of every class equally many; where `n` cannot be shared evenly the first get one more.

    A shape has a radius of 4.5 to 6.5 pixels and lies within the image. In every colour channel it is at least 0.35 of
    the range away from the background.
    """
    labels = rng.permutation(np.asarray(classes, np.int64)[np.arange(n) % len(classes)])
    radius = rng.uniform(*_RADIUS, size=(n, 1, 1))
    centre = SIZE / 2 + rng.uniform(-1, 1, size=(2, n, 1, 1)) * (SIZE / 2 - radius)
    background = rng.random((n, 3))
    colour = (background + rng.uniform(_CONTRAST, 1 - _CONTRAST, size=(n, 3))) % 1.0
    pixels = np.arange(SIZE) + 0.5
    distance = np.empty((n, SIZE, SIZE))
    for one in np.unique(labels):
        own = labels == one
        x, y = pixels[None, None, :] - centre[0, own], pixels[None, :, None] - centre[1, own]
        distance[own] = _distance(CLASSES[one], x, y, radius[own])
    covered = np.clip(0.5 - distance, 0, 1)[:, None]
    mixed = background[:, :, None, None] * (1 - covered) + colour[:, :, None, None] * covered
    return Images(np.rint(mixed * 255).astype(np.uint8), labels)


def _distance(name: str, x: np.ndarray, y: np.ndarray, radius: np.ndarray) -> Any:
    """Distance in pixels from a shape's edge, negative inside; x and y are seen from its centre, y downwards."""
    if name == "disc":
        return np.hypot(x, y) - radius
    if name == "ring":
        return np.abs(np.hypot(x, y) - 0.75 * radius) - 0.25 * radius
    if name == "square":
        return _box(x, y, 0.85 * radius, 0.85 * radius)
    if name == "diamond":
        return (np.abs(x) + np.abs(y) - radius) / np.sqrt(2)
    if name == "triangle":
        return np.maximum(y - 0.8 * radius, (2 * np.abs(x) - y - radius) / np.sqrt(5))
    if name == "plus":
        return _plus(x, y, radius)
    if name == "cross":
        return _plus((x + y) / np.sqrt(2), (x - y) / np.sqrt(2), radius)
    box = _box(x, y, radius, radius)
    if name == "horizontal bars":
        return np.maximum(box, _stripes(y, radius))
    if name == "vertical bars":
        return np.maximum(box, _stripes(x, radius))
    even = np.maximum(_stripes(x, radius), _stripes(y, radius))
    odd = np.maximum(-_stripes(x, radius), -_stripes(y, radius))
    return np.maximum(box, np.minimum(even, odd))


def _box(x: np.ndarray, y: np.ndarray, width: np.ndarray, height: np.ndarray) -> Any:
    """Of a rectangle, by half its width and half its height."""
    return np.maximum(np.abs(x) - width, np.abs(y) - height)


def _plus(x: np.ndarray, y: np.ndarray, radius: np.ndarray) -> Any:
    arm = 0.28 * radius
    return np.minimum(_box(x, y, radius, arm), _box(x, y, arm, radius))


def _stripes(along: np.ndarray, radius: np.ndarray) -> Any:
    """Stripes with gaps of their own width between them, three over the diameter: both outer edges are stripes."""
    period = 0.8 * radius
    return np.abs((along + radius + period / 4) % period - period / 2) - period / 4
