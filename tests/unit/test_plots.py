"""A plot is saved in the format that its file's suffix names."""

from dataclasses import replace
from pathlib import Path

import pytest

from fedgen_bench import load_results
from fedgen_bench.base.errors import UsageError
from fedgen_bench.session.plots import Plot

PUBLISHED = Path(__file__).parents[2] / "leaderboards" / "ptb-compression"


@pytest.fixture(scope="module")
def plot():
    return load_results(PUBLISHED).plot("quality_vs_uplink")


@pytest.mark.parametrize(("name", "start"), [("q.svg", b"<?xml"), ("q.png", b"\x89PNG\r\n\x1a\n"), ("q.PDF", b"%PDF-")])
def test_suffix_names_the_format(plot, name, start, tmp_path):
    plot.save(tmp_path / name)
    once = (tmp_path / name).read_bytes()
    assert once.startswith(start)
    plot.save(str(tmp_path / name))
    assert (tmp_path / name).read_bytes() == once


@pytest.mark.parametrize("name", ["q", "q.jpg", "q.svg.gz"])
def test_other_suffixes_are_refused_and_nothing_is_written(plot, name, tmp_path):
    with pytest.raises(UsageError, match=r"suffix \.svg, \.png or \.pdf"):
        plot.save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_format_that_draws_svg_alone_says_so(plot, tmp_path):
    with pytest.raises(UsageError, match="SVG alone"):
        replace(plot, picture=None).save(tmp_path / "q.png")
    Plot("<svg/>").save(tmp_path / "q.svg")
    assert (tmp_path / "q.svg").read_text() == "<svg/>"
