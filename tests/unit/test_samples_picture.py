"""`samples.png` of pictures with captions: class names, and real images once."""

import base64
import io
import json
from types import SimpleNamespace

import numpy as np
import pytest
from fedgen_bench_plugins.captions import Captions, captions_of
from fedgen_bench_plugins.datasets.images import grid_png
from fedgen_bench_plugins.sheets import sheet_png
from fedgen_bench_plugins.tables.samples import Samples
from PIL import Image

from fedgen_bench import NoParams
from fedgen_bench.base.errors import StoreError

BLACK, RED, GREEN = (0, 0, 0), (255, 0, 0), (0, 255, 0)
WIDE, HIGH, GAP, HEAD = 1000, 250, 8, 30


def picture(*rows, texts):
    """Of four images of a pixel in each row, all of one colour."""
    pixels = np.array([[np.array(colour, np.uint8)[:, None, None]] * 4 for colour in rows])
    return base64.b64encode(grid_png(pixels, texts)).decode()


def drawn(**showcase):
    table = SimpleNamespace(showcase=showcase, rows=[{"contender": name} for name in ("second", "first")])
    return Image.open(io.BytesIO(Samples(NoParams()).render(table)))


def colours(sheet, place, head=HEAD):
    """Of a row: its two columns, and what is between them."""
    y, right = head + GAP + place * (HIGH + GAP) + HIGH // 2, sheet.width - GAP
    return [sheet.getpixel((right - x, y)) for x in (WIDE // 2 + GAP + 10, WIDE // 2 + GAP // 2, 10)]


def test_real_images_are_shown_once_before_the_contenders():
    texts = Captions(("cat", "dog"), "real images").to_text()
    sheet = drawn(first=picture(RED, GREEN, texts=texts), second=picture(BLACK, GREEN, texts=texts))
    assert sheet.height == HEAD + 3 * HIGH + 4 * GAP
    white = (255, 255, 255)
    assert [colours(sheet, place) for place in range(3)] == [
        [colour, white, colour] for colour in (GREEN, BLACK, RED)
    ]  # rows stand in the table's order


def test_names_of_columns_are_drawn_over_them():
    texts = [Captions((name, "dog")).to_text() for name in ("", "cat")]
    without, named = (np.asarray(drawn(first=picture(RED, texts=one)))[: HEAD + GAP] for one in texts)
    differing = np.flatnonzero((without != named).any(axis=(0, 2)))
    middle = named.shape[1] - GAP - WIDE - GAP + WIDE / 4
    assert abs(differing.mean() - middle) < 5


def test_names_wider_than_their_column_are_drawn_smaller():
    cell = Image.new("RGB", (1, 1))
    wide, thin = (Image.open(io.BytesIO(sheet_png([("x", cell)], [name] * 10))) for name in ("w" * 12, "w"))
    assert wide.size == thin.size
    heights = [np.flatnonzero((np.asarray(one)[: HEAD + GAP] < 128).any(axis=(1, 2))) for one in (wide, thin)]
    assert np.ptp(heights[0]) < np.ptp(heights[1])


@pytest.mark.parametrize(
    "said",
    ["[]", "{", '{"columns": "ab"}', '{"columns": [1]}', '{"below": null}', json.dumps({"columns": ["x"] * 5}), "1"],
)
def test_captions_that_are_none_are_refused(said):
    with pytest.raises(StoreError, match="picture of `first` cannot be read"):
        drawn(first=picture(RED, texts={"captions": said}))


def test_captions_are_read_as_they_were_written():
    captions = Captions(("Käse", "b"), "c")
    assert captions_of(captions.to_text(), 2) == captions
    assert captions_of({}, 1) == captions_of({"other": "x"}, 1) == Captions()


def test_pictures_without_captions_are_drawn_as_they_were():
    sheet = drawn(first=picture(RED, texts={}), second=picture(BLACK, texts={}))
    assert sheet.height == 2 * HIGH + 3 * GAP
    assert [colours(sheet, place, head=0) for place in range(2)] == [[BLACK] * 3, [RED] * 3]
