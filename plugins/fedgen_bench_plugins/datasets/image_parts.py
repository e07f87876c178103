"""Images in three parts, and how they are opened before it is known at which size they are read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from fedgen_bench_plugins.datasets.images import Images


@dataclass(frozen=True)
class ImageSet:
    """Images of the three parts, all of one size.

    Args:
        train: what clients hold.
        classes: name of every label.
        provenance: sha256 by file.
        columns: integers by name, one a training image, beside its label.
    """

    train: Images
    valid: Images
    test: Images
    classes: tuple[str, ...]
    provenance: Mapping[str, str]
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Height and width in pixels."""
        return int(self.train.pixels.shape[-1])


@dataclass(frozen=True)
class OpenImages:
    """Images of which no pixel was read.

    Args:
        classes: name of every label.
        load: reads them at so many pixels a side.
        size: pixels a side that they have; None for those that are resized to what a backbone takes, and whose labels
            no backbone knows.
    """

    classes: tuple[str, ...]
    load: Callable[[int], ImageSet]
    size: int | None = None


def hashed(images: Images) -> str:
    """Hex sha256 of pixels and labels."""
    return hashlib.sha256(images.pixels.tobytes() + images.labels.tobytes()).hexdigest()
