"""Sheets of pictures: named rows, and columns with names over them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from fedgen_bench import one_line

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont, ImageFont

_WIDTH = 1000  # of a row's picture at least, in pixels
_FONT, _SMALLEST_FONT = 22, 8
_GAP = 8


def sheet_png(rows: Sequence[tuple[str, Image]], columns: Sequence[str] = ()) -> bytes:
    """A PNG of pictures below each other, each beside its name and at a whole multiple of its size.

    Args:
        rows: name and picture of each.
        columns: names of equal parts of every picture's width, which stand apart and below their names.
    """
    from PIL import Image, ImageDraw

    pictures = [_apart(_enlarged(picture), max(1, len(columns))) for _, picture in rows]
    font = _font(_FONT)
    left = max(int(font.getlength(one_line(name))) for name, _ in rows) + 2 * _GAP
    widest = max(one.width for one in pictures)
    head = _FONT + _GAP if columns else 0
    height = head + sum(one.height + _GAP for one in pictures) + _GAP
    sheet = Image.new("RGB", (left + widest + _GAP, height), "white")
    draw, top = ImageDraw.Draw(sheet), _GAP + head
    if columns:
        part = (widest + _GAP) / len(columns)
        fitting = _fitting(columns, part - _GAP)
        for place, name in enumerate(columns):
            middle = left + int((place + 0.5) * part - _GAP / 2)
            draw.text((middle, _GAP + _FONT // 2), one_line(name), fill="black", font=fitting, anchor="mm")
    for (name, _), picture in zip(rows, pictures, strict=True):
        draw.text((_GAP, top + picture.height // 2), one_line(name), fill="black", font=font, anchor="lm")
        sheet.paste(picture, (left, top))
        top += picture.height + _GAP
    out = io.BytesIO()
    sheet.save(out, format="PNG", optimize=True)
    return out.getvalue()


def _font(size: int) -> FreeTypeFont | ImageFont:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _fitting(names: Sequence[str], width: float) -> FreeTypeFont | ImageFont:
    """The largest font in which every name is as wide as its column at most, or the smallest."""
    sizes = range(_FONT, _SMALLEST_FONT, -1)
    fitting = (size for size in sizes if all(_font(size).getlength(one_line(name)) <= width for name in names))
    return _font(next(fitting, _SMALLEST_FONT))


def _enlarged(picture: Image) -> Image:
    """At least `_WIDTH` wide, every pixel a square of whole pixels."""
    from PIL.Image import Resampling

    factor = -(-_WIDTH // picture.width)
    return picture.resize((factor * picture.width, factor * picture.height), Resampling.NEAREST)


def _apart(picture: Image, n_columns: int) -> Image:
    """With gaps between columns."""
    from PIL import Image

    edges = [round(place * picture.width / n_columns) for place in range(n_columns + 1)]
    spread = Image.new("RGB", (picture.width + (n_columns - 1) * _GAP, picture.height), "white")
    for place, (begin, end) in enumerate(pairwise(edges)):
        spread.paste(picture.crop((begin, 0, end, picture.height)), (begin + place * _GAP, 0))
    return spread
