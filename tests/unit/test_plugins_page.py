"""The page on plugins names everything that specs have and hooks are given."""

import dataclasses
import re
from pathlib import Path

import pytest

from fedgen_bench.contract import specs
from fedgen_bench.contract.reports import RoundReport, RunResult

PAGE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")
COMMON = {field.name for field in dataclasses.fields(specs.ComponentSpec)}
SPECS = [
    one
    for name in dir(specs)
    if isinstance(one := getattr(specs, name), type)
    and issubclass(one, specs.ComponentSpec)
    and one is not specs.ComponentSpec
]


def names(text: str) -> set[str]:
    return set(re.findall(r"`(\w+)`", text))


@pytest.mark.parametrize("spec", SPECS, ids=lambda one: one.__name__)
def test_what_a_spec_adds_is_in_the_table(spec):
    rows = re.findall(rf"^\| `{spec.__name__}` \| (.*?) \|", PAGE, re.MULTILINE)
    assert {field.name for field in dataclasses.fields(spec)} - COMMON == set().union(*map(names, rows))


@pytest.mark.parametrize(("hook", "given"), [("after_round", RoundReport), ("after_run", RunResult)])
def test_what_an_observer_is_given_is_named(hook, given):
    section = PAGE.split(f"\n## `{hook}(")[1].split("\n## ")[0]
    assert {field.name for field in dataclasses.fields(given)} <= names(section)
