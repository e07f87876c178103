"""`convergence.svg` and `quality_vs_uplink.svg`: the followed metric over rounds and uplink, with its range."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fedgen_bench import NoParams, TableFormatSpec, hookimpl, one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fedgen_bench.authors.tables import Curve, Table

_MARKERS = "os^DvPXh"  # as pages have them, by `Look.marker`
_LEADING = 0.6  # points, of the line from a name to the end of its curve
_APART = 0.055  # of names in the column right of the plot, as a share of its height
_BAND = "lines: means over seeds; bands: lowest to highest seed; dashed: reference rows"
_UNDATED = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}


@dataclass(frozen=True)
class RoundRange:
    """One round of one contender, mean and range over its seeds."""

    rounds: int
    uplink_bytes: float
    mean: float
    low: float
    high: float


def points(curve: Curve) -> list[RoundRange]:
    """Rounds that every seed of the contender has."""
    seeds = list(curve.by_seed.values())
    if not seeds:
        return []
    found = []
    for together in zip(*seeds, strict=False):
        values = [value for _, value, _ in together]
        uplink = sum(up for _, _, up in together) / len(together)
        found.append(RoundRange(together[0][0], uplink, sum(values) / len(values), min(values), max(values)))
    return found


def _drawable(table: Table) -> list[tuple[Curve, list[RoundRange]]]:
    """Curves that have points, of contenders that rounds were followed of."""
    return [(curve, found) for curve in table.curves if curve.level is None and (found := points(curve))]


def _levels(table: Table) -> list[tuple[str, float]]:
    """Contenders that no round trains, with the one value that they have."""
    return [(curve.contender, level) for curve in table.curves if (level := curve.level) is not None]


def _plain(text: str) -> str:
    """Text that is drawn as it is: a dollar begins no formula."""
    return one_line(text).replace("$", r"\$")


@dataclass(frozen=True, kw_only=True)
class _Axis:
    """What the x axis holds."""

    of: Callable[[RoundRange], float]
    label: str
    in_bytes: bool = False


@dataclass(frozen=True)
class _End:
    """Where a line ends, and its name."""

    name: str
    x: float
    y: float
    color: str


def _figure(table: Table, axis: _Axis, what: str, file_format: str) -> bytes:
    """Every drawable curve: contenders solid, reference rows dashed, the range over seeds shaded, names at the ends."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from fedgen_bench.authors.looks import looks

    looked = looks(row["contender"] for row in table.rows)
    with mpl.rc_context(
        {"svg.hashsalt": "fedgen-bench", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 10}
    ):
        figure = Figure(figsize=(8.0, 4.8), layout="constrained")
        axes = figure.add_subplot()
        drawn: list[float] = []
        ends: list[_End] = []
        for curve, everything in _drawable(table):
            found = [one for one in everything if axis.of(one) > 0]
            if not found:
                continue
            look = looked[curve.contender]
            x, color = [axis.of(one) for one in found], look.on_white
            style: dict[str, Any] = {"color": color, "marker": _MARKERS[look.marker], "markersize": 4}
            style |= {} if curve.ranked else {"linestyle": "--", "linewidth": 1.0}
            axes.plot(x, [one.mean for one in found], **style)
            axes.fill_between(x, [one.low for one in found], [one.high for one in found], color=color, alpha=0.15, lw=0)
            drawn += [one.mean for one in found]
            ends.append(_End(_plain(curve.contender), x[-1], found[-1].mean, color))
        if drawn and min(drawn) > 0 and max(drawn) > 2 * min(drawn):
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter("{x:g}")
        _scale(axes, axis, drawn)
        axes.axhline(table.target, color="0.6", linewidth=0.8, linestyle=":")
        for name, level in _levels(table):
            color = looked[name].on_white
            axes.axhline(level, color=color, linewidth=1.0, linestyle="--")
            ends.append(_End(_plain(name), axes.get_xlim()[1], level, color))
        _name(axes, [*ends, _End(f"target {table.target:g}", axes.get_xlim()[1], table.target, "0.4")])
        axes.set_xlabel(axis.label)
        axes.set_ylabel(f"{_plain(table.followed.unit)} (validation subset)")
        axes.set_title(f"{_plain(table.title)}: {what}\n{_BAND}", loc="left", fontsize=9)
        axes.grid(visible=True, color="0.92", which="both")
        axes.spines[["top", "right"]].set_visible(False)
        out = io.BytesIO()
        title = {"Title": f"{one_line(table.title)}: {what}"}
        figure.savefig(out, format=file_format, metadata=_UNDATED.get(file_format, {}) | title)
    return out.getvalue()


def _scale(axes: Axes, axis: _Axis, drawn: list[float]) -> None:
    """Whole rounds, or bytes by powers of ten in their units."""
    from matplotlib.ticker import EngFormatter, MaxNLocator

    if not axis.in_bytes:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    elif drawn:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(EngFormatter(unit="B"))


def _name(axes: Axes, ends: list[_End]) -> None:
    """Names in a column right of the plot, each led to its end."""
    from fedgen_bench.authors.looks import spread

    into = axes.transData + axes.transAxes.inverted()
    at = [into.transform((one.x, one.y)) for one in ends]
    for one, (x, y), place in zip(ends, at, spread([float(y) for _, y in at], 0.0, 1.0, _APART), strict=True):
        line = {"arrowstyle": "-", "color": one.color, "linewidth": _LEADING, "alpha": 0.6, "shrinkA": 0, "shrinkB": 0}
        axes.annotate(
            one.name, (x, y), (1.04, place), xycoords="axes fraction", textcoords="axes fraction", color=one.color,
            va="center", annotation_clip=False, arrowprops=line,
        )  # fmt: skip


def _trimmed(svg: bytes) -> str:
    return "\n".join(line.rstrip() for line in svg.decode().splitlines()) + "\n"


class Convergence:
    """The metric over rounds."""

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def render(self, table: Table) -> str:
        return _trimmed(self.picture(table, "svg"))

    def picture(self, table: Table, file_format: str) -> bytes:
        return _figure(table, _Axis(of=lambda point: point.rounds, label="round"), "convergence", file_format)


class QualityVsUplink:
    """The metric over the uplink bytes spent so far by all clients together; rows that send nothing are left out."""

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def render(self, table: Table) -> str:
        return _trimmed(self.picture(table, "svg"))

    def picture(self, table: Table, file_format: str) -> bytes:
        axis = _Axis(of=lambda point: point.uplink_bytes, label="uplink so far, all clients", in_bytes=True)
        return _figure(table, axis, "quality against uplink", file_format)


@hookimpl
def register_table_formats() -> list[TableFormatSpec]:
    return [
        TableFormatSpec(
            name="convergence",
            summary="Plot: the metric over rounds.",
            build=Convergence,
            filename="convergence.svg",
            exact=False,
            libraries=("matplotlib.figure",),
        ),
        TableFormatSpec(
            name="quality_vs_uplink",
            summary="Plot: the metric over uplink bytes.",
            build=QualityVsUplink,
            filename="quality_vs_uplink.svg",
            exact=False,
            libraries=("matplotlib.figure",),
        ),
    ]
