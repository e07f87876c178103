"""Charts of claims: SVG, and the same data as CSV."""

from __future__ import annotations

import csv
import io

from fedgen_bench.base.looks import looks
from fedgen_bench.review.claims.findings import Chart

_MARKERS = "os^DvPXh"  # as pages have them, by `Look.marker`


def as_csv(chart: Chart) -> str:
    """One line a point: series, x, mean, and the range over seeds."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["series", "x", "mean", "low", "high"])
    writer.writerows([name, *map(repr, (p.x, p.mean, p.low, p.high))] for name, points in chart.series for p in points)
    return out.getvalue()


def as_svg(chart: Chart) -> str:
    """A line with its range for every series; the same data give the same text under one version of matplotlib."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(
        {"svg.hashsalt": "fedgen-bench", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 10}
    ):
        figure = Figure(figsize=(7.2, 4.2), layout="constrained")
        axes = figure.add_subplot()
        looked = looks(name for name, points in chart.series if points)
        for name, points in (one for one in chart.series if one[1]):
            x, color, shape = [p.x for p in points], looked[name].on_white, _MARKERS[looked[name].marker]
            axes.plot(x, [p.mean for p in points], label=name, color=color, marker=shape, markersize=4)
            axes.fill_between(x, [p.low for p in points], [p.high for p in points], color=color, alpha=0.15, lw=0)
        if chart.log_x:
            axes.set_xscale("log")
            ticks = sorted({p.x for _, points in chart.series for p in points})
            if 0 < len(ticks) <= 10:  # noqa: PLR2004 - as many labels as fit
                axes.set_xticks(ticks, [f"{x:g}" for x in ticks])
                axes.set_xticks([], minor=True)
        axes.set_xlabel(chart.x_label)
        axes.set_ylabel(chart.y_label)
        axes.set_title(chart.title, loc="left", fontsize=10)
        axes.grid(visible=True, color="0.92")
        axes.spines[["top", "right"]].set_visible(False)
        if any(points for _, points in chart.series):
            figure.legend(loc="outside right upper", frameon=False)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Title": chart.title})
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"
