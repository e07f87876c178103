"""Images from parquet: what is read, and one clear error for what cannot be."""

from __future__ import annotations

import io
import struct

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fedgen_bench_plugins.datasets.images import read_parquet
from PIL import Image

from fedgen_bench.base.errors import DataError

PIXELS = np.random.Generator(np.random.Philox(key=1)).integers(0, 256, (3, 4, 4, 3), dtype=np.uint8)


def encoded(pixels=PIXELS[0], kind="PNG", mode="RGB", size=None):
    content = io.BytesIO()
    image = Image.fromarray(pixels).convert(mode)
    (image.resize(size) if size else image).save(content, kind)
    return content.getvalue()


def column(*contents):
    return [{"bytes": one, "path": None} for one in contents]


def write(path, **columns):
    pq.write_table(pa.table(columns), path)
    return path


def read(path):
    return read_parquet(path, size=4, n_classes=10)


def test_read_parquet_gives_pixels_and_labels_in_the_order_of_the_rows(tmp_path):
    path = write(tmp_path / "x", img=column(*map(encoded, PIXELS)), label=[7, 0, 9])
    images = read(path)
    assert np.array_equal(images.pixels, PIXELS.transpose(0, 3, 1, 2))
    assert images.labels.tolist() == [7, 0, 9]
    assert (images.pixels.dtype, images.labels.dtype) == (np.uint8, np.int64)


def test_read_parquet_takes_jpeg_other_integers_and_several_row_groups(tmp_path):
    flat = np.full((4, 4, 3), 128, np.uint8)  # a constant block survives JPEG exactly
    table = pa.table({"img": column(*[encoded(flat, "JPEG")] * 3), "label": pa.array([1, 2, 3], pa.uint8())})
    pq.write_table(table, tmp_path / "x", row_group_size=1)
    images = read(tmp_path / "x")
    assert np.array_equal(images.pixels, np.full((3, 3, 4, 4), 128))
    assert images.labels.tolist() == [1, 2, 3]


def jpeg_of_declared_size(size):
    content = bytearray(encoded(kind="JPEG"))
    at = content.index(b"\xff\xc0") + 5  # start of frame: marker, length, precision, height, width
    content[at : at + 4] = struct.pack(">HH", size, size)
    return bytes(content)


def png_with_broken_header():
    content = bytearray(encoded())
    content[20] ^= 1  # height; the checksum of the chunk no longer holds
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (encoded(size=(5, 4)), "the image is RGB, 5 x 4 pixels; it must be RGB, 4 x 4"),
        (encoded(mode="L"), "the image is L, 4 x 4 pixels; it must be RGB"),
        (encoded(mode="RGBA"), "the image is RGBA"),
        (encoded(mode="P"), "the image is P"),
        (encoded(kind="BMP"), "no PNG or JPEG image"),
        (b"no image", "no PNG or JPEG image"),
        (b"", "no PNG or JPEG image"),
        (encoded()[:50], "no PNG or JPEG image"),
        (png_with_broken_header(), "no PNG or JPEG image"),
        (jpeg_of_declared_size(65_500), "no PNG or JPEG image"),  # 4 gigapixels: refused before they are decoded
        (None, "there is no image"),
    ],
)
def test_read_parquet_names_the_row_of_an_image_that_does_not_fit(tmp_path, content, said):
    path = write(tmp_path / "x.parquet", img=column(encoded(), content), label=[0, 1])
    with pytest.raises(DataError, match=rf"x\.parquet, row 1: .*{said}.*(Replace|Convert)"):
        read(path)


def test_read_parquet_refuses_a_null_in_place_of_an_image(tmp_path):
    path = write(tmp_path / "x.parquet", img=[*column(encoded()), None], label=[0, 1])
    with pytest.raises(DataError, match=r"x\.parquet, row 1: there is no image"):
        read(path)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([0, 10], r"row 1: the label is 10; it must be 0 to 9"),
        ([-1, 0], r"row 0: the label is -1; it must be 0 to 9"),
        ([0, None], r"row 1: there is no label"),
        ([0.0, 1.0], r"has a column `label` of double"),
        (["cat", "dog"], r"has a column `label` of string"),
    ],
)
def test_read_parquet_refuses_labels_that_are_no_classes(tmp_path, labels, said):
    path = write(tmp_path / "x.parquet", img=column(encoded(), encoded()), label=labels)
    with pytest.raises(DataError, match=rf"x\.parquet.*{said}"):
        read(path)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"image": column(encoded()), "label": [0]}, "has no column `img`, only image, label"),
        ({"img": column(encoded())}, "has no column `label`, only img"),
        ({"img": [encoded()], "label": [0]}, "has a column `img` of binary"),
        ({"img": [{"path": "a.png"}], "label": [0]}, "has a column `img` of struct<path: string>"),
        ({"img": [{"bytes": "text"}], "label": [0]}, "has a column `img` of struct<bytes: string>"),
    ],
)
def test_read_parquet_says_which_columns_it_needs(tmp_path, columns, said):
    path = write(tmp_path / "x.parquet", **columns)
    with pytest.raises(DataError, match=f"{said}. It needs a column `img` of {{bytes, path}} and a column `label`"):
        read(path)


@pytest.mark.parametrize("content", [b"", b"no parquet", b"PAR1" + bytes(100) + b"PAR1"])
def test_read_parquet_refuses_what_is_no_parquet(tmp_path, content):
    (tmp_path / "x.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.parquet cannot be read as parquet .* Replace the file"):
        read(tmp_path / "x.parquet")


def test_read_parquet_refuses_a_file_that_is_cut_off(tmp_path):
    path = write(tmp_path / "x.parquet", img=column(*map(encoded, PIXELS)), label=[0, 1, 2])
    content = bytearray(path.read_bytes())
    content[4:200] = bytes(196)  # the footer is whole, the pages are not
    path.write_bytes(content)
    with pytest.raises(DataError, match="Replace the file"):
        read(path)


def test_read_parquet_refuses_a_file_without_rows_and_one_that_is_not_there(tmp_path):
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    path = write(tmp_path / "x.parquet", img=pa.array([], kind), label=pa.array([], pa.int64()))
    with pytest.raises(DataError, match=r"x\.parquet has no rows"):
        read(path)
    with pytest.raises(DataError, match=r"y\.parquet cannot be read"):
        read(tmp_path / "y.parquet")
