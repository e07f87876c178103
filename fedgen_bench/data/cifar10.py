"""CIFAR-10 in four parts that never overlap: `public` for pretraining, `federation`, `valid`, and the test file.

Parts are cut by class and position in the file: of every class the last 500 training images are `valid`; of the four
vehicle classes the first 3,000 are `public`; the others are what the clients of a federation hold.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from fedgen_bench.data.images import Images, read_parquet

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
VEHICLES = (0, 1, 8, 9)
SIZE = 32
TRAIN, TEST = "train-00000-of-00001.parquet", "test-00000-of-00001.parquet"
_N_PUBLIC_PER_CLASS = 3000
_N_VALID_PER_CLASS = 500
Part = Literal["public", "federation", "valid"]


def read_train(folder: Path) -> Images:
    """All training images."""
    return read_parquet(folder / TRAIN, size=SIZE, n_classes=len(CLASSES))


def read_test(folder: Path) -> Images:
    """All test images."""
    return read_parquet(folder / TEST, size=SIZE, n_classes=len(CLASSES))


def part_index(labels: np.ndarray, part: Part) -> np.ndarray:
    """Positions of a part among the training images, ascending."""
    chosen = []
    for one in range(len(CLASSES)):
        own = np.flatnonzero(labels == one)
        n_public = _N_PUBLIC_PER_CLASS if one in VEHICLES else 0
        first_valid = len(own) - _N_VALID_PER_CLASS
        chosen.append(
            {"public": own[:n_public], "federation": own[n_public:first_valid], "valid": own[first_valid:]}[part]
        )
    return np.sort(np.concatenate(chosen))
