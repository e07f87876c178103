"""Charts of claims: SVG, and the same data as CSV."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from fedgen_bench.base.axes import MARKERS, RANGES, End, bytes_along, framed, name_ends, plain, saved, titled, trimmed
from fedgen_bench.base.looks import looks
from fedgen_bench.review.claims.findings import Chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE = (7.2, 4.2)  # inches
_BYTES = " (bytes)"  # at the end of an axis' label
_MOST_TICKS = 10  # with a number each


def as_csv(chart: Chart) -> str:
    """One line a point: series, x, mean, and the range over seeds."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["series", "x", "mean", "low", "high"])
    writer.writerows([name, *map(repr, (p.x, p.mean, p.low, p.high))] for name, points in chart.series for p in points)
    return out.getvalue()


def as_svg(chart: Chart) -> str:
    """A line with its range for every series; the same data give the same text under one version of matplotlib."""
    series = [one for one in chart.series if one[1]]
    looked = looks(name for name, _ in series)
    with framed(*_SIZE) as (figure, axes):
        for name, points in series:
            x, color, shape = [p.x for p in points], looked[name].on_white, MARKERS[looked[name].marker]
            axes.plot(x, [p.mean for p in points], color=color, marker=shape, markersize=4)
            axes.fill_between(x, [p.low for p in points], [p.high for p in points], color=color, alpha=0.15, lw=0)
        _along(axes, chart)
        name_ends(axes, [End(name, of[-1].x, of[-1].mean, looked[name].on_white) for name, of in series])
        axes.set_xlabel(plain(chart.x_label.removesuffix(_BYTES)))
        axes.set_ylabel(plain(chart.y_label))
        spans = any(p.low != p.high for _, points in series for p in points)
        titled(figure, axes, chart.title, *([RANGES] if spans else []))
        return trimmed(saved(figure, chart.title, "svg"))


def _along(axes: Axes, chart: Chart) -> None:
    """Bytes in their units, the values that were tried where they are few, no parts of rounds."""
    if chart.x_label.endswith(_BYTES):
        bytes_along(axes)
    elif chart.log_x:
        axes.set_xscale("log")
        ticks = sorted({p.x for _, points in chart.series for p in points})
        if 0 < len(ticks) <= _MOST_TICKS:
            axes.set_xticks(ticks, [f"{x:g}" for x in ticks])
            axes.set_xticks([], minor=True)
    elif all(float(p.x).is_integer() for _, points in chart.series for p in points):
        axes.locator_params("x", integer=True)
