"""`samples.png`: what the contenders' global models generate from the same noise, for tasks that have pictures."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

from fedgen_bench import NoParams, StoreError, TableFormatSpec, hookimpl
from fedgen_bench_plugins.captions import Captions, captions_of
from fedgen_bench_plugins.sheets import sheet_png

if TYPE_CHECKING:
    from PIL.Image import Image

    from fedgen_bench.authors.tables import Table


class Samples:
    """One row a contender of the first leaderboard seed: its name and picture, below the names of the columns.

    What is alike in all pictures, such as real images, is a row of its own before the others.
    """

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def render(self, table: Table) -> bytes | None:
        """A PNG, or None for a table without pictures.

        Raises:
            StoreError: a published picture cannot be read.
        """
        if not table.showcase:
            return None
        order = {row["contender"]: place for place, row in enumerate(table.rows)}
        names = sorted(table.showcase, key=order.__getitem__)
        read = {name: _read(name, table.showcase[name]) for name in names}
        rows = [(name, _halves(picture)[0] if said.below else picture) for name, (picture, said) in read.items()]
        picture, said = read[names[0]]
        alike = [(said.below, _halves(picture)[1])] if said.below else []
        return sheet_png([*alike, *rows], said.columns)


def _read(name: str, text: str) -> tuple[Image, Captions]:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=("PNG",)) as picture:
            return picture.convert("RGB"), captions_of(getattr(picture, "text", {}), picture.width)
    except (ValueError, OSError) as error:
        raise StoreError(f"The published picture of `{name}` cannot be read. Restore the results.") from error


def _halves(picture: Image) -> tuple[Image, Image]:
    """The upper and the lower half."""
    middle = picture.height // 2
    upper, lower = (0, 0, picture.width, middle), (0, middle, picture.width, picture.height)
    return picture.crop(upper), picture.crop(lower)


@hookimpl
def register_table_formats() -> list[TableFormatSpec]:
    summary = "Picture: what the contenders' models generate."
    return [TableFormatSpec(name="samples", summary=summary, build=Samples, filename="samples.png", exact=False)]
