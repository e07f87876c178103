"""The images that `image_generation` knows: training, validation and test parts with class names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from fedgen_bench import Chosen, DatasetSpec, Find
from fedgen_bench_plugins.datasets.image_parts import ImageSet, OpenImages, hashed
from fedgen_bench_plugins.datasets.known import CIFAR10, files_of
from fedgen_bench_plugins.datasets.sources import OWN_IMAGES, ImageSource

if TYPE_CHECKING:
    from pathlib import Path

    from fedgen_bench_plugins.datasets import cifar10

_SHAPES = {"train": 2000, "valid": 500, "test": 1000}


def read_cifar10(find: Find, clients: cifar10.Part = "federation") -> ImageSet:
    """CIFAR-10: clients hold what neither the shipped backbone was trained on nor validation needs."""
    from fedgen_bench_plugins.datasets import cifar10

    folder = find(CIFAR10.name)
    images = cifar10.read_train(folder)
    train, valid = (images.take(cifar10.part_index(images.labels, part)) for part in (clients, "valid"))
    return ImageSet(train, valid, cifar10.read_test(folder), cifar10.CLASSES, CIFAR10.hashes(folder))


def draw_tiny_shapes(find: Find) -> ImageSet:  # noqa: ARG001 - as every reader
    """Generated coloured shapes; nothing is read."""
    import numpy as np

    from fedgen_bench_plugins.datasets import tiny_shapes

    rng = np.random.Generator(np.random.Philox(key=1))
    parts = {name: tiny_shapes.make(n, rng) for name, n in _SHAPES.items()}
    provenance = {f"tiny-shapes {name}": hashed(part) for name, part in parts.items()}
    return ImageSet(parts["train"], parts["valid"], parts["test"], tuple(tiny_shapes.CLASSES), provenance)


def _opened(read: Callable[[Find], ImageSet]) -> Callable[[Find, ImageSource], OpenImages]:
    """As of one's own, of images that have a size and are not many."""

    def opened(find: Find, source: ImageSource) -> OpenImages:  # noqa: ARG001 - as every reader
        images = read(find)
        return OpenImages(images.classes, lambda _: images, images.size)

    return opened


def _open_own(find: Find, source: ImageSource) -> OpenImages:
    from fedgen_bench_plugins.datasets.image_folder import open_image_folder

    return open_image_folder(find, source)


def _own_files(find: Find, source: ImageSource) -> Mapping[str, Path | Chosen]:
    from fedgen_bench_plugins.datasets.image_folder import own_files

    return own_files(find, source)


@dataclass(frozen=True)
class ImageReader:
    """How images are had.

    Args:
        open: gives them. Raises DataError when they cannot be had.
        datasets: registered data sets that it reads.
        own_files: files of the user's own that it reads, by name, where it reads any.
    """

    open: Callable[[Find, ImageSource], OpenImages]
    datasets: tuple[DatasetSpec, ...] = ()
    own_files: Callable[[Find, ImageSource], Mapping[str, Path | Chosen]] | None = None

    def files(self, find: Find, source: ImageSource) -> dict[str, Path | Chosen]:
        """Everything that it reads, by name. Raises what `find` raises."""
        own = self.own_files(find, source) if self.own_files else {}
        return {**files_of(self.datasets, find), **own}


IMAGE_SETS: Mapping[str, ImageReader] = {
    "cifar10": ImageReader(_opened(read_cifar10), (CIFAR10,)),
    "cifar10-semi": ImageReader(_opened(partial(read_cifar10, clients="labelled")), (CIFAR10,)),
    "tiny-shapes": ImageReader(_opened(draw_tiny_shapes)),
    OWN_IMAGES: ImageReader(_open_own, own_files=_own_files),
}
