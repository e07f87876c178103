"""The house that `docs/architecture.md` draws is the one that the code is."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = {
    name: (ROOT / name).read_text(encoding="utf-8") for name in ("docs/architecture.md", "CONTRIBUTING.md", "README.md")
}
PLACES = ("fedgen_bench", "plugins/fedgen_bench_plugins", "baselines/fedgen_bench_baselines", "")


@pytest.fixture(scope="module")
def make_house():
    spec = importlib.util.spec_from_file_location("make_house", ROOT / "docs" / "make_house.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def section(page, heading):
    return PAGES[page].split(f"\n## {heading}\n")[1].split("\n## ")[0]


def is_there(path):
    return any((ROOT / place / path).exists() for place in PLACES)


def test_house_is_drawn_as_the_imports_are(make_house):
    assert make_house.text() == PAGES["docs/architecture.md"], "Run `python docs/make_house.py`."


def test_arrows_go_down_only(make_house):
    height = {room: -i for i, layer in enumerate(make_house.floors()) for room in layer}
    found = make_house.arrows()
    assert found["cli"]
    assert not [(room, below) for room in height for below in found[room] if height[below] >= height[room]]


def test_files_that_pages_name_are_there():
    named = {path for page in PAGES.values() for path in re.findall(r"`([a-z_]+/[\w/]*\.py)`", page)}
    assert len(named) > 20
    assert [path for path in named if not is_there(path)] == []


def test_ten_behaviours_have_a_place():
    rows = re.findall(r"^\| .* \| `([^`]+)`", section("CONTRIBUTING.md", "Where is ..."), flags=re.MULTILINE)
    assert len(rows) >= 10
    assert len(set(rows)) == len(rows)
    assert [path for path in rows if not is_there(path)] == []


def test_walk_names_a_file_at_every_step():
    walk = section("docs/architecture.md", "One update, from command to table")
    steps = re.split(r"^\d+\. ", walk, flags=re.MULTILINE)[1:]
    assert len(steps) >= 10
    assert [step for step in steps if ".py`" not in step] == []


def test_glossary_is_in_order_and_says_each_word_once():
    words = re.findall(r"^\| \*\*([^*]+)\*\*", section("docs/architecture.md", "Glossary"), flags=re.MULTILINE)
    assert len(words) >= 20
    assert words == sorted(set(words))
