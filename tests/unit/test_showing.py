"""`show-table` and `plot`: a published folder on the terminal, and its plots drawn again."""

import shutil
from pathlib import Path

import pytest
from commands import here

from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.results.manifest import differences

PUBLISHED = Path(__file__).parents[2] / "leaderboards" / "ptb-smollm2"


@pytest.fixture
def folder(tmp_path):
    """A copy without the details, which take long to copy and are not looked at."""
    return shutil.copytree(PUBLISHED, tmp_path / PUBLISHED.name, ignore=shutil.ignore_patterns("*.parquet", "claims*"))


def test_table_of_a_published_folder_is_shown(folder):
    done = here(folder.parent, "show-table", folder.name)
    assert done.returncode == 0
    head, names, _, first, *_ = done.stdout.splitlines()
    assert "suite ptb-smollm2" in head
    assert names.split()[:2] == ["rank", "contender"]
    assert first.startswith("1")


def test_showing_a_store_asks_for_its_suite(tmp_path):
    done = here(tmp_path, "show-table", ".")
    assert done.returncode == 2
    assert "name its suite (`suite=`, `--suite`)" in done.stderr


def test_plots_are_drawn_again_in_their_place(folder):
    plot = folder / "convergence.svg"
    plot.write_text("<svg/>")
    done = here(folder.parent, "plot", folder.name)
    assert done.returncode == 0
    assert f"{folder.name}/convergence.svg" in done.stdout.splitlines()
    assert len(plot.read_text()) > 1000
    assert differences(folder) == []


def test_plots_are_drawn_elsewhere_in_the_format_that_is_asked_for(folder):
    before = {one.name: one.read_bytes() for one in folder.iterdir()}
    done = here(folder.parent, "plot", folder.name, "--out", "drawn", "--format", "png")
    assert done.returncode == 0
    drawn = {one.name: one.read_bytes()[:4] for one in (folder.parent / "drawn").iterdir()}
    known = {one.spec.filename for one in load_registry().components["table_format"].values()}
    assert drawn.keys() <= {name.replace(".svg", ".png") for name in known}
    assert {"convergence.png", "quality_vs_uplink.png"} <= drawn.keys()
    assert set(drawn.values()) == {b"\x89PNG"}
    assert {one.name: one.read_bytes() for one in folder.iterdir()} == before


def test_another_format_needs_another_folder(folder):
    done = here(folder.parent, "plot", folder.name, "--format", "pdf")
    assert done.returncode == 2
    assert "Name another one with `--out`" in done.stderr


def test_plots_of_no_published_folder_are_refused_in_a_sentence(tmp_path):
    done = here(tmp_path, "plot", ".")
    assert done.returncode == 2
    assert "holds no results.json" in done.stderr
