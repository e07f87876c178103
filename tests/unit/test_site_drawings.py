"""Drawings of the site: what is written along the axes can be read."""

import itertools
import re

from fedgen_bench.base.looks import looks
from fedgen_bench.site.charts import byte_tick
from fedgen_bench.site.drawing import Drawing, Line, Spot, draw
from fedgen_bench.site.labels import width_of


def drawing(*places):
    spots = tuple(Spot(x, 1.0, 1.0, 1.0, "") for x in places)
    lines = (Line("a", looks(["a"])["a"], spots),)
    return Drawing(title="t", note="", x_label="bytes", y_label="y", lines=lines, log_x=True, x_tick=byte_tick)


def test_no_two_figures_below_the_axis_overlap():
    svg = draw(drawing(104e3, 207e3, 311e3, 415e3, 519e3))
    written = re.findall(r'<text[^>]*class="tick"[^>]*x="([0-9.]+)"[^>]*text-anchor="middle"[^>]*>([^<]+)<', svg)
    assert [text for _, text in written[:2]] == ["100 kB", "200 kB"]
    ends = [(float(x) - width_of(text) / 2, float(x) + width_of(text) / 2) for x, text in written]
    assert len(ends) > 2
    assert all(after[0] > before[1] for before, after in itertools.pairwise(ends))
