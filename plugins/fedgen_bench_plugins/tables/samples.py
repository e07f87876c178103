"""`samples.png`: what the contenders' global models generate from the same noise, for tasks that have pictures."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

from fedgen_bench import NoParams, StoreError, TableFormatSpec, hookimpl, one_line

if TYPE_CHECKING:
    from PIL.Image import Image

    from fedgen_bench.authors.tables import Table

_WIDTH = 1000  # of a row's picture at least, in pixels
_FONT = 22
_GAP = 8


class Samples:
    """One row a contender of the first leaderboard seed: its name, and its picture at a whole multiple of its size."""

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def render(self, table: Table) -> bytes | None:
        """A PNG, or None for a table without pictures.

        Raises:
            StoreError: a published picture cannot be read.
        """
        if not table.showcase:
            return None
        from PIL import Image, ImageDraw, ImageFont

        order = {row["contender"]: place for place, row in enumerate(table.rows)}
        names = sorted(table.showcase, key=order.__getitem__)
        pictures = [_enlarged(_picture(name, table.showcase[name])) for name in names]
        font = ImageFont.load_default(_FONT)
        left = max(int(font.getlength(one_line(name))) for name in names) + 2 * _GAP
        width = left + max(one.width for one in pictures) + _GAP
        sheet = Image.new("RGB", (width, sum(one.height + _GAP for one in pictures) + _GAP), "white")
        draw, top = ImageDraw.Draw(sheet), _GAP
        for name, picture in zip(names, pictures, strict=True):
            draw.text((_GAP, top + picture.height // 2), one_line(name), fill="black", font=font, anchor="lm")
            sheet.paste(picture, (left, top))
            top += picture.height + _GAP
        out = io.BytesIO()
        sheet.save(out, format="PNG", optimize=True)
        return out.getvalue()


def _picture(name: str, text: str) -> Image:
    from PIL import Image

    try:
        return Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=("PNG",)).convert("RGB")
    except (ValueError, OSError) as error:
        raise StoreError(f"The published picture of `{name}` cannot be read. Restore the results.") from error


def _enlarged(picture: Image) -> Image:
    """At least `_WIDTH` wide, every pixel a square of whole pixels."""
    from PIL.Image import Resampling

    factor = -(-_WIDTH // picture.width)
    return picture.resize((factor * picture.width, factor * picture.height), Resampling.NEAREST)


@hookimpl
def register_table_formats() -> list[TableFormatSpec]:
    summary = "Picture: what the contenders' models generate."
    return [TableFormatSpec(name="samples", summary=summary, build=Samples, filename="samples.png", exact=False)]
