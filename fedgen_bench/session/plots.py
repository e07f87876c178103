"""A table's drawing, shown by notebooks and saved as a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fedgen_bench.base.errors import UsageError, unknown
from fedgen_bench.contract.params import make_params
from fedgen_bench.contract.protocols import Drawing
from fedgen_bench.results.contents import table_files

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.results.table import Table

_SUFFIXES = (".svg", ".png", ".pdf")


@dataclass(frozen=True)
class Plot:
    """A drawing as SVG text; notebooks show it.

    Args:
        svg: the text.
        picture: draws it as `png` or `pdf`; None where its table format cannot.
    """

    svg: str
    picture: Callable[[str], bytes] | None = field(default=None, repr=False, compare=False)

    def _repr_svg_(self) -> str:
        return self.svg

    def save(self, path: str | Path) -> None:
        """Write the file, in the format that its suffix names: `.svg`, `.png` or `.pdf`.

        Raises:
            UsageError: the suffix is another one, or the plot's table format draws SVG alone.
        """
        file = Path(path)
        suffix = file.suffix.lower()
        if suffix not in _SUFFIXES:
            allowed = f"{', '.join(_SUFFIXES[:-1])} or {_SUFFIXES[-1]}"
            raise UsageError(f"A plot is not saved as `{file.name}`. Give it the suffix {allowed}.")
        if suffix == ".svg":
            file.write_text(self.svg, encoding="utf-8")
        elif self.picture is None:
            raise UsageError(f"This plot is drawn as SVG alone, not as `{file.name}`. Give it the suffix .svg.")
        else:
            file.write_bytes(self.picture(suffix.removeprefix(".")))


def plot(table: Table, registry: Registry, name: str) -> Plot:
    """What the registered table format that writes `<name>.svg` draws of a table.

    Raises:
        UsageError: there is no such plot, with the closest name, or none of this table.
    """
    formats = {one.spec.filename: one.spec for one in registry.components["table_format"].values()}
    drawn = {file.removesuffix(".svg") for file in formats if file.endswith(".svg")}
    if name not in drawn:
        raise UsageError(unknown("plot", name, drawn))
    file = f"{name}.svg"
    drawing = table_files(table, registry, (file,))[file]
    if drawing is None:
        raise UsageError(f"This table gives no plot `{name}`. Choose another.")
    spec = formats[file]
    draws = spec.build(make_params(spec.params, {})[0])
    return Plot(drawing.decode(), partial(draws.picture, table) if isinstance(draws, Drawing) else None)
