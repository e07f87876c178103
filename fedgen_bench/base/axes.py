"""Axes of matplotlib as all drawings have them: one style, bytes in their units, names at the ends of lines."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.looks import spread
from fedgen_bench.base.safe_text import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = "os^DvPXh"  # as pages have them, by `Look.marker`
RANGES = "lines: means over seeds; bands: lowest to highest seed"
_LEADING = 0.6  # points, of the line from a name to the end of its curve
_APART = 0.055  # of names in the column right of the plot, as a share of its height
_LONGEST = 40  # characters of a name beside the axes, which need the room
_WIDEST = 12.0  # characters of a title to an inch of the figure
_LABELLED = 20.0  # a logarithmic axis over a larger ratio has numbers at powers of ten alone
_UNDATED = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}


@dataclass(frozen=True)
class End:
    """Where a line ends, and its name."""

    name: str
    x: float
    y: float
    color: str


def plain(text: str) -> str:
    """Text that is drawn as it is: a dollar begins no formula."""
    return one_line(text).replace("$", r"\$")


@contextmanager
def framed(width: float, height: float) -> Iterator[tuple[Figure, Axes]]:
    """A figure of this size in inches, with axes that have no frame above and right; text stays text in SVG."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(
        {"svg.hashsalt": "fedgen-bench", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 10}
    ):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.add_subplot()
        axes.grid(visible=True, color="0.92", which="both")
        axes.spines[["top", "right"]].set_visible(False)
        yield figure, axes


def titled(figure: Figure, axes: Axes, *lines: str) -> None:
    """A title on the left, its lines broken where the figure ends."""
    width = int(_WIDEST * figure.get_figwidth())
    broken = [part for line in lines for part in textwrap.wrap(plain(line), width)]
    axes.set_title("\n".join(broken), loc="left", fontsize=9)


def spread_out(axes: Axes, values: Sequence[float]) -> None:
    """A logarithmic y axis, where values are above zero and lie more than a factor of two apart."""
    from matplotlib.ticker import NullFormatter

    if not values or min(values) <= 0 or max(values) <= 2 * min(values):
        return
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}" if max(values) < _LABELLED * min(values) else NullFormatter())


def bytes_along(axes: Axes) -> None:
    """A logarithmic x axis of bytes, by powers of ten in their units."""
    from matplotlib.ticker import EngFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(EngFormatter(unit="B"))


def name_ends(axes: Axes, ends: Sequence[End]) -> None:
    """Names in a column right of the plot, each led to its end. Call it when scales and limits are settled."""
    into = axes.transData + axes.transAxes.inverted()
    at = [into.transform((one.x, one.y)) for one in ends]
    for one, (x, y), place in zip(ends, at, spread([float(y) for _, y in at], 0.0, 1.0, _APART), strict=True):
        line = {"arrowstyle": "-", "color": one.color, "linewidth": _LEADING, "alpha": 0.6, "shrinkA": 0, "shrinkB": 0}
        axes.annotate(
            plain(_short(one.name)), (x, y), (1.04, place), xycoords="axes fraction", textcoords="axes fraction",
            color=one.color, va="center", annotation_clip=False, arrowprops=line,
        )  # fmt: skip


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def saved(figure: Figure, title: str, file_format: str) -> bytes:
    """The figure as a file: the same figure gives the same bytes under one version of matplotlib."""
    out = io.BytesIO()
    metadata: dict[str, Any] = {**_UNDATED.get(file_format, {}), "Title": one_line(title)}
    figure.savefig(out, format=file_format, metadata=metadata)
    return out.getvalue()


def trimmed(svg: bytes) -> str:
    """An SVG as text, without blanks at the ends of lines."""
    return "\n".join(line.rstrip() for line in svg.decode().splitlines()) + "\n"
