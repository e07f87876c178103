"""The page on larger models tells what footprints of models without values tell."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("1B (the shape of Llama-3.2-1B)", "`lora`, rank 8, queries and values"),
        ("8B (the shape of Llama-3.1-8B)", "`layernorm`"),
        ("8B (the shape of Llama-3.1-8B)", "`prefix`, 16 tokens"),
    ],
)
def test_rows_of_the_page_are_what_footprints_tell(registry, model, name):
    spec = importlib.util.spec_from_file_location("make_larger", ROOT / "docs" / "make_larger.py")
    make_larger = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_larger)
    page = make_larger.TARGET.read_text(encoding="utf-8")
    table = page.partition(f"**{model}**")[2].partition("Weights alone")[0]
    assert f"\n{make_larger.row(registry, model, name)}\n" in table, "Run `python docs/make_larger.py`."
