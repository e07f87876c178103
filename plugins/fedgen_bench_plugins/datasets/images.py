"""Labelled images in memory, read from parquet as the hub stores them: a column of encoded images, one of labels."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fedgen_bench import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

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
        DataError: no parquet file, no such columns, no rows, bytes that are no image, another size or mode, labels out
            of range.
    """
    encoded, labels = _read_columns(path, image, label)
    outside = np.flatnonzero((labels < 0) | (labels >= n_classes))
    if len(outside):
        raise DataError(
            f"{path}, row {outside[0]}: the label is {labels[outside[0]]}; it must be 0 to {n_classes - 1}. "
            "Use a file of the right data set."
        )
    pixels = np.empty((len(labels), 3, size, size), np.uint8)
    for i, content in enumerate(encoded):
        pixels[i] = _decoded(content, size, f"{path}, row {i}").transpose(2, 0, 1)
    return Images(pixels, labels)


def _read_columns(path: Path, image: str, label: str) -> tuple[list[bytes | None], np.ndarray]:
    """Encoded images, None where there is none, and labels."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path)
        if problem := _misfit(schema, image, label):
            raise DataError(
                f"{path} {problem}. It needs a column `{image}` of {{bytes, path}} and a column `{label}` of integers."
            )
        table = pq.read_table(path, columns=[image, label])
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path} cannot be read as parquet ({reason}). Replace the file.") from error
    if not table.num_rows:
        raise DataError(f"{path} has no rows. Replace the file.")
    images, labels = (table.column(name).combine_chunks() for name in (image, label))
    if labels.null_count:
        row = np.flatnonzero(labels.is_null())[0]
        raise DataError(f"{path}, row {row}: there is no label. Replace the file.")
    encoded = images.flatten()[images.type.get_field_index("bytes")].to_pylist()
    return encoded, labels.to_numpy().astype(np.int64)


def _misfit(schema: Any, image: str, label: str) -> str | None:
    """What is wrong with the columns of a file."""
    from pyarrow import types

    for name in (image, label):
        if name not in schema.names:
            return f"has no column `{name}`, only {', '.join(schema.names) or 'none'}"
    kind = schema.field(image).type
    position = kind.get_field_index("bytes") if types.is_struct(kind) else -1
    if position < 0 or not (types.is_binary(kind[position].type) or types.is_large_binary(kind[position].type)):
        return f"has a column `{image}` of {kind}"
    if not types.is_integer(schema.field(label).type):
        return f"has a column `{label}` of {schema.field(label).type}"
    return None


def _decoded(content: bytes | None, size: int, where: str) -> np.ndarray:
    from PIL import Image

    if content is None:
        raise DataError(f"{where}: there is no image. Replace the file.")
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as picture:
            mode, (width, height) = picture.mode, picture.size
            if mode == _MODE and width == height == size:
                return np.asarray(picture)
    except (
        OSError,
        SyntaxError,
        ValueError,
        struct.error,
        Image.DecompressionBombError,
    ) as error:  # PIL raises them all
        raise DataError(f"{where}: the bytes are no PNG or JPEG image. Replace the file.") from error
    raise DataError(
        f"{where}: the image is {mode}, {width} x {height} pixels; it must be {_MODE}, {size} x {size}. "
        "Convert it, or use the original file."
    )


def grid(pixels: np.ndarray) -> Image:
    """uint8 pixels of shape (rows, columns, 3, height, width) as one picture, images side by side."""
    from PIL import Image

    rows, columns, _, height, width = pixels.shape
    return Image.fromarray(pixels.transpose(0, 3, 1, 4, 2).reshape(rows * height, columns * width, 3))


def grid_png(pixels: np.ndarray, texts: Mapping[str, str] | None = None) -> bytes:
    """`grid` as a PNG, with texts in it by keyword."""
    from PIL.PngImagePlugin import PngInfo

    info, out = PngInfo(), io.BytesIO()
    for keyword, text in (texts or {}).items():
        info.add_text(keyword, text)
    grid(pixels).save(out, format="PNG", pnginfo=info)
    return out.getvalue()
