"""Labelled images in memory, read from parquet as the hub stores them: a column of encoded images, one of labels."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedgen_bench.errors import DataError

_MODE = "RGB"


@dataclass(frozen=True)
class Images:
    """Pixels, uint8 of shape (n, 3, height, width), and labels, int64 of shape (n,)."""

    pixels: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: np.ndarray) -> Images:
        """The images at these positions."""
        return Images(self.pixels[index], self.labels[index])


def read_parquet(path: Path, *, size: int, n_classes: int, image: str = "img", label: str = "label") -> Images:
    """Images of a parquet file whose column `image` holds {bytes, path} and whose column `label` holds integers.

    Raises:
        DataError: no such columns, bytes that are no image, another size or mode, labels out of range.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        columns = pq.read_table(path, columns=[image, label])
        encoded = columns.column(image).combine_chunks().field("bytes").to_pylist()
        labels = np.asarray(columns.column(label).to_numpy(), dtype=np.int64)
    except (pa.ArrowException, KeyError, ValueError, TypeError, AttributeError, OSError) as error:
        raise DataError(
            f"{path} cannot be read as images ({str(error).splitlines()[0]}). It needs a column `{image}` of "
            f"{{bytes, path}} and a column `{label}` of integers."
        ) from error
    if len(labels) and not 0 <= labels.min() <= labels.max() < n_classes:
        raise DataError(
            f"{path} has labels from {labels.min()} to {labels.max()}; they must be 0 to {n_classes - 1}. "
            "Use a file of the right data set."
        )
    pixels = np.empty((len(labels), 3, size, size), np.uint8)
    for i, content in enumerate(encoded):
        pixels[i] = _decoded(content, size, f"{path}, row {i}").transpose(2, 0, 1)
    return Images(pixels, labels)


def _decoded(content: bytes | None, size: int, where: str) -> np.ndarray:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content or b""), formats=("PNG", "JPEG")) as picture:
            if picture.mode != _MODE or picture.size != (size, size):
                raise DataError(
                    f"{where}: the image has mode {picture.mode} and size {picture.size}; it must be {_MODE}, "
                    f"{size} x {size}. Convert it, or use the original file."
                )
            return np.asarray(picture)
    except (UnidentifiedImageError, OSError) as error:
        raise DataError(f"{where}: the bytes are no PNG or JPEG image. Replace the file.") from error


def grid_png(pixels: np.ndarray) -> bytes:
    """uint8 pixels of shape (rows, columns, 3, height, width) as one PNG, images side by side."""
    from PIL import Image

    rows, columns, _, height, width = pixels.shape
    out = io.BytesIO()
    Image.fromarray(pixels.transpose(0, 3, 1, 4, 2).reshape(rows * height, columns * width, 3)).save(out, format="PNG")
    return out.getvalue()
