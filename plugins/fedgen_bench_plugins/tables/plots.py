"""`convergence.svg` and `quality_vs_uplink.svg`: the followed metric over rounds and uplink, with its range."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fedgen_bench import NoParams, TableFormatSpec, hookimpl, one_line

if TYPE_CHECKING:
    from fedgen_bench.authors.tables import Curve, Table

_COLORS = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999933", "#882255", "#44aa99",
)  # fmt: skip
_MARKERS = "osD^vP*X"
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
    """Curves that have points; a curve's place in this list is its colour in every plot of the table."""
    return [(curve, found) for curve in table.curves if (found := points(curve))]


def _plain(text: str) -> str:
    """Text that is drawn as it is: a dollar begins no formula."""
    return one_line(text).replace("$", r"\$")


def _figure(
    table: Table, x_of: Callable[[RoundRange], float], x_label: str, what: str, file_format: str, *, log_x: bool = False
) -> bytes:
    """Every drawable curve over `x_of`: contenders solid, reference rows dashed, the range over seeds shaded."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(
        {"svg.hashsalt": "fedgen-bench", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 10}
    ):
        figure = Figure(figsize=(8.0, 4.8), layout="constrained")
        axes = figure.add_subplot()
        drawn: list[float] = []
        for i, (curve, everything) in enumerate(_drawable(table)):
            found = [one for one in everything if x_of(one) > 0]
            if not found:
                continue
            x, color = [x_of(one) for one in found], _COLORS[i % len(_COLORS)]
            look: dict[str, Any] = {"color": color, "marker": _MARKERS[i % len(_MARKERS)], "markersize": 3.5}
            look |= {} if curve.ranked else {"linestyle": "--", "linewidth": 1.0}
            axes.plot(x, [one.mean for one in found], label=_plain(curve.contender), **look)
            axes.fill_between(x, [one.low for one in found], [one.high for one in found], color=color, alpha=0.15, lw=0)
            drawn += [one.mean for one in found]
        if drawn and min(drawn) > 0 and max(drawn) > 2 * min(drawn):
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter("{x:g}")
        if log_x and drawn:
            axes.set_xscale("log")
        axes.axhline(table.target, color="0.6", linewidth=0.8, linestyle=":", label=f"target {table.target:g}")
        axes.set_xlabel(x_label)
        axes.set_ylabel(f"{_plain(table.followed.unit)} (validation subset)")
        axes.set_title(f"{_plain(table.title)}\n{what}", loc="left", fontsize=10)
        axes.grid(visible=True, color="0.92", which="both")
        axes.spines[["top", "right"]].set_visible(False)
        figure.legend(loc="outside right upper", frameon=False)
        out = io.BytesIO()
        figure.savefig(out, format=file_format, metadata=_UNDATED.get(file_format))
    return out.getvalue()


def _trimmed(svg: bytes) -> str:
    return "\n".join(line.rstrip() for line in svg.decode().splitlines()) + "\n"


class Convergence:
    """The metric over rounds."""

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def render(self, table: Table) -> str:
        return _trimmed(self.picture(table, "svg"))

    def picture(self, table: Table, file_format: str) -> bytes:
        return _figure(table, lambda point: point.rounds, "round", "convergence", file_format)


class QualityVsUplink:
    """The metric over the uplink bytes spent so far by all clients together; rows that send nothing are left out."""

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def render(self, table: Table) -> str:
        return _trimmed(self.picture(table, "svg"))

    def picture(self, table: Table, file_format: str) -> bytes:
        label, what = "uplink so far, all clients (bytes)", "quality against uplink"
        return _figure(table, lambda point: point.uplink_bytes, label, what, file_format, log_x=True)


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
