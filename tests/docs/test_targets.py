"""The page on targets by role says what roles mean on small models of every family."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("torch")

from families import FAMILIES
from versions import written_with

ROOT = Path(__file__).parents[2]


@written_with("transformers", "5.24")
def test_targets_page_is_what_roles_mean():
    spec = importlib.util.spec_from_file_location("make_targets", ROOT / "docs" / "make_targets.py")
    make_targets = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_targets)
    page = make_targets.TARGET.read_text(encoding="utf-8")
    assert page == make_targets.text(), "Run `python docs/make_targets.py`."
    assert [family for family in FAMILIES if f"\n| {family} | " not in page] == []
