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
from fedgen_bench.results.files import table_names

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.results.table import Table

SUFFIXES = (".svg", ".png", ".pdf")


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
        if suffix not in SUFFIXES:
            allowed = f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
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
    if name not in (known := _names(registry)):
        raise UsageError(unknown("plot", name, known))
    drawing = _drawn(table, registry, name)
    if drawing is None:
        raise UsageError(f"This table gives no plot `{name}`. Choose another.")
    return drawing


def plots(table: Table, registry: Registry) -> dict[str, Plot]:
    """Every plot of a table, by name."""
    drawn = ((name, _drawn(table, registry, name)) for name in sorted(_names(registry)))
    return {name: drawing for name, drawing in drawn if drawing is not None}


def _names(registry: Registry) -> set[str]:
    return {file.removesuffix(".svg") for file in table_names(registry) if file.endswith(".svg")}


def _drawn(table: Table, registry: Registry, name: str) -> Plot | None:
    """A plot; None where the table gives none."""
    file = f"{name}.svg"
    drawing = table_files(table, registry, (file,))[file]
    if drawing is None:
        return None
    spec = next(one.spec for one in registry.components["table_format"].values() if one.spec.filename == file)
    draws = spec.build(make_params(spec.params, {})[0])
    return Plot(drawing.decode(), partial(draws.picture, table) if isinstance(draws, Drawing) else None)
