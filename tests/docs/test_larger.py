"""The page on larger models tells what footprints of models without values tell."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

pytest.importorskip("torch")

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("1B (the shape of Llama-3.2-1B)", "`lora`, rank 8, queries and values"),
        ("8B (the shape of Llama-3.1-8B)", "`layernorm`"),
        ("8B (the shape of Llama-3.1-8B)", "`prefix`, 16 tokens"),
    ],
)
def test_rows_of_the_page_are_what_footprints_tell(registry, model, name, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    make_larger = importlib.import_module("make_larger")
    page = make_larger.TARGET.read_text(encoding="utf-8")
    table = page.partition(f"**{model}**")[2].partition("Weights alone")[0]
    assert f"\n{make_larger.row(registry, model, name)}\n" in table, "Run `python docs/make_larger.py`."
