"""What drawings by matplotlib have in common, and what they say in words."""

import re
import warnings
from pathlib import Path

import pytest
from fedgen_bench_plugins.tables.plots import Sent, best

from fedgen_bench.authors.axes import End, bytes_along, framed, name_ends, saved, spread_out, titled, trimmed
from fedgen_bench.review.claims.charts import as_svg
from fedgen_bench.review.claims.findings import Chart, Point

LEADERBOARDS = Path(__file__).parents[2] / "leaderboards"


def words(svg):
    return re.findall(r"<text[^>]*>([^<]+)</text>", svg)


def drawn(x, y, *, in_bytes=False):
    with framed(6.0, 4.0) as (figure, axes):
        axes.plot(x, y)
        spread_out(axes, y)
        if in_bytes:
            bytes_along(axes)
        name_ends(axes, [End("a $ name", x[-1], y[-1], "#000000")])
        titled(figure, axes, "what " * 40, "how")
        return trimmed(saved(figure, "t", "svg"))


@pytest.mark.parametrize(("highest", "numbers"), [(1.9, "linear"), (9.0, "every tick"), (1e8, "powers of ten")])
def test_axis_has_as_many_numbers_as_can_be_read(highest, numbers):
    found = words(drawn([1, 2], [1.0, highest]))
    assert {"every tick": "7" in found, "linear": "1.5" in found or "1.4" in found, "powers of ten": "1e+08" in found}[
        numbers
    ]
    assert len(found) < 30


def test_bytes_have_their_units_and_names_their_dollars():
    found = words(drawn([2e3, 3e8], [1.0, 1.1], in_bytes=True))
    assert {"10 kB", "1 MB", "a $ name", "how"} <= set(found)


def test_long_names_leave_the_axes_their_room():
    with warnings.catch_warnings(), framed(7.2, 4.2) as (figure, axes):
        warnings.simplefilter("error")
        axes.plot([1, 2], [1.0, 1.1])
        name_ends(axes, [End("fedgen_edge (federation.rounds=2, training.local_steps=2)" * 3, 2, 1.1, "#000000")])
        found = words(trimmed(saved(figure, "t", "svg")))
    assert "fedgen_edge (federation.rounds=2, train…" in found


def test_title_is_broken_where_the_figure_ends():
    lines = [one.strip() for one in words(drawn([1, 2], [1.0, 1.1])) if one.startswith("what")]
    assert len(lines) == 3
    assert " ".join(lines) == ("what " * 40).strip()


@pytest.mark.parametrize(("lower", "names"), [(True, ["a", "c"]), (False, ["b", "d"])])
def test_frontier_keeps_what_nothing_as_cheap_beats(lower, names):
    sent = [
        Sent("d", 30, 9.0, 9, 9), Sent("a", 10, 5.0, 5, 5), Sent("c", 20, 4.0, 4, 4), Sent("b", 10, 6.0, 6, 6),
        Sent("e", 40, 4.5, 4, 5),
    ]  # fmt: skip
    assert [one.name for one in best(sent, lower_is_better=lower)] == names


@pytest.mark.parametrize(("low", "said"), [(1.0, True), (2.0, False)])
def test_chart_speaks_of_bands_where_it_has_some(low, said):
    chart = Chart(
        name="n", title="t", x_label="uplink (bytes)", y_label="y",
        series=(("fedgen_edge", (Point(1e3, 2.0, low, 2.0), Point(1e6, 2.0, 2.0, 2.0))),),
    )  # fmt: skip
    found = words(as_svg(chart))
    assert any(one.startswith("lines: means over seeds") for one in found) is said
    assert "uplink" in found
    assert "100 kB" in found


@pytest.mark.parametrize("folder", sorted(LEADERBOARDS.glob("*/")), ids=lambda one: one.name)
def test_pictures_of_a_table_stand_beside_it(folder):
    shown = re.findall(r"^!\[[^\]]+\]\(([^)]+)\)$", (folder / "table.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert shown[0] == "frontier.svg"
    assert all((folder / name).is_file() for name in shown)
    assert ("samples.png" in shown) == (folder / "samples.png").is_file()
