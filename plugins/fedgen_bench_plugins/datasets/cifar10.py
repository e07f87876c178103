"""CIFAR-10 in parts that never overlap: `public` for pretraining, `federation`, `valid`, and the test file.

Parts are cut by class and position in the file: of every class the last 500 training images are `valid`; of the four
vehicle classes the first 3,000 are `public`; the others are `federation`. Semi-supervised pretraining also sees the
first 2,000 images of each animal class, `unlabelled`, and leaves `labelled` of the federation to clients. Copies of
CIFAR-10 differ in the order of their rows, and then in which images make a part.
"""

from __future__ import annotations

import io
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from fedgen_bench import DataError
from fedgen_bench_plugins.datasets.images import Images, read_parquet

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
VEHICLES = (0, 1, 8, 9)
SIZE = 32
TRAIN, TEST = "train-00000-of-00001.parquet", "test-00000-of-00001.parquet"
_BATCHES = {TRAIN: tuple(f"data_batch_{i}" for i in range(1, 6)), TEST: ("test_batch",)}
_RECORD_BYTES = 1 + 3 * SIZE * SIZE
_N_PUBLIC_PER_CLASS = 3000
_N_UNLABELLED_PER_CLASS = 2000
_N_VALID_PER_CLASS = 500
Part = Literal["public", "federation", "unlabelled", "labelled", "valid"]


def read_train(folder: Path) -> Images:
    """All training images."""
    return read_parquet(folder / TRAIN, size=SIZE, n_classes=len(CLASSES))


def read_test(folder: Path) -> Images:
    """All test images."""
    return read_parquet(folder / TEST, size=SIZE, n_classes=len(CLASSES))


def part_index(labels: np.ndarray, part: Part) -> np.ndarray:
    """Positions of a part among the training images, ascending.

    Raises:
        DataError: a class has fewer images than its parts need.
    """
    chosen = []
    for one, name in enumerate(CLASSES):
        own = np.flatnonzero(labels == one)
        n_public, n_unlabelled = (_N_PUBLIC_PER_CLASS, 0) if one in VEHICLES else (0, _N_UNLABELLED_PER_CLASS)
        first_valid = len(own) - _N_VALID_PER_CLASS
        if first_valid < n_public:
            raise DataError(
                f"{TRAIN} has {len(own)} images of class `{name}`; its parts need at least "
                f"{n_public + _N_VALID_PER_CLASS}. Use the whole training file of CIFAR-10."
            )
        federation = own[n_public:first_valid]
        parts = {
            "public": own[:n_public], "federation": federation, "valid": own[first_valid:],
            "unlabelled": federation[:n_unlabelled], "labelled": federation[n_unlabelled:],
        }  # fmt: skip
        chosen.append(parts[part])
    return np.sort(np.concatenate(chosen))


def convert(archive: Path, folder: Path, *, n_per_batch: int = 10_000) -> None:
    """Write both parquet files from `cifar-10-binary.tar.gz`: batches 1 to 5 and the test batch, images as PNG.

    Members are read by their exact names and sizes, nothing is extracted.

    Raises:
        DataError: the archive lacks a member, or one is no batch of `n_per_batch` images.
    """
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for file, batches in _BATCHES.items():
                _write_parquet((_read_batch(tar, batch, n_per_batch) for batch in batches), folder / file)
    except (tarfile.TarError, KeyError, ValueError, EOFError, zlib.error, OSError) as error:
        raise DataError(
            f"{archive} is not CIFAR-10's binary version ({error}). Download cifar-10-binary.tar.gz again."
        ) from error


def _read_batch(tar: tarfile.TarFile, name: str, n: int) -> Images:
    """Records of one byte for the label and 3072 for red, green and blue, row by row. Raises KeyError or ValueError."""
    member = tar.getmember(f"cifar-10-batches-bin/{name}.bin")
    content = tar.extractfile(member) if member.type in {tarfile.REGTYPE, tarfile.AREGTYPE} else None
    if content is None or member.size != n * _RECORD_BYTES:
        raise ValueError(f"{member.name} is no file of {n * _RECORD_BYTES} bytes")
    records = np.frombuffer(content.read(), np.uint8).reshape(n, _RECORD_BYTES)
    labels = records[:, 0].astype(np.int64)
    if labels.max() >= len(CLASSES):
        raise ValueError(f"{member.name} has label {labels.max()}")
    return Images(records[:, 1:].reshape(n, 3, SIZE, SIZE), labels)


def _write_parquet(batches: Iterator[Images], path: Path) -> None:
    """In the hub's columns: `img` of {bytes, path}, `label`; one row group a batch."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    schema = pa.schema({"img": pa.struct({"bytes": pa.binary(), "path": pa.string()}), "label": pa.int64()})
    with pq.ParquetWriter(path, schema) as writer:
        for batch in batches:
            rows = []
            for pixels in batch.pixels:
                png = io.BytesIO()
                Image.fromarray(pixels.transpose(1, 2, 0)).save(png, "PNG")
                rows.append({"bytes": png.getvalue(), "path": None})
            writer.write_table(pa.table({"img": rows, "label": batch.labels}, schema))
