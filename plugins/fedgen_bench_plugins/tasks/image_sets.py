"""The images that `image_generation` knows: training, validation and test parts with class names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedgen_bench import DatasetSpec
from fedgen_bench_plugins.datasets.known import CIFAR10

if TYPE_CHECKING:
    from pathlib import Path

    from fedgen_bench_plugins.datasets.images import Images

_SHAPES = {"train": 2000, "valid": 500, "test": 1000}


@dataclass(frozen=True)
class ImageSet:
    """Images of the three parts, all of one size.

    Args:
        train: what clients hold.
        classes: name of every label.
        provenance: sha256 by file.
    """

    train: Images
    valid: Images
    test: Images
    classes: tuple[str, ...]
    provenance: Mapping[str, str]

    @property
    def size(self) -> int:
        """Height and width in pixels."""
        return int(self.train.pixels.shape[-1])


def read_cifar10(find: Callable[[str], Path]) -> ImageSet:
    """CIFAR-10: clients hold what neither the shipped backbone was trained on nor validation needs."""
    from fedgen_bench_plugins.datasets import cifar10

    folder = find(CIFAR10.name)
    images = cifar10.read_train(folder)
    train, valid = (images.take(cifar10.part_index(images.labels, part)) for part in ("federation", "valid"))
    return ImageSet(train, valid, cifar10.read_test(folder), cifar10.CLASSES, CIFAR10.hashes(folder))


def draw_tiny_shapes(find: Callable[[str], Path]) -> ImageSet:  # noqa: ARG001 - as every reader
    """Generated coloured shapes; nothing is read."""
    import hashlib

    import numpy as np

    from fedgen_bench_plugins.datasets import tiny_shapes

    rng = np.random.Generator(np.random.Philox(key=1))
    parts = {name: tiny_shapes.make(n, rng) for name, n in _SHAPES.items()}
    provenance = {
        f"tiny-shapes {name}": hashlib.sha256(part.pixels.tobytes() + part.labels.tobytes()).hexdigest()
        for name, part in parts.items()
    }
    return ImageSet(parts["train"], parts["valid"], parts["test"], tuple(tiny_shapes.CLASSES), provenance)


DATASETS_OF: Mapping[str, tuple[DatasetSpec, ...]] = {"cifar10": (CIFAR10,), "tiny-shapes": ()}
IMAGE_SETS: Mapping[str, Callable[[Callable[[str], Path]], ImageSet]] = {
    "cifar10": read_cifar10,
    "tiny-shapes": draw_tiny_shapes,
}
