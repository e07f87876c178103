"""Modules for authors: what they list is there, and documented; the light ones load nothing heavy."""

from __future__ import annotations

import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fedgen_bench import authors

PAGE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")

MODULES = sorted(one.name for one in pkgutil.iter_modules(authors.__path__))


def test_modules_for_authors_are_found():
    assert {"axes", "claims", "engines"} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_names_for_authors_are_there_and_documented(name):
    module = importlib.import_module(f"fedgen_bench.authors.{name}")
    assert [one for one in module.__all__ if not hasattr(module, one)] == []
    assert [one for one in module.__all__ if not re.search(rf"`{one}\b", PAGE)] == []
    assert f"`fedgen_bench.authors.{name}`" in PAGE
    with pytest.raises(AttributeError):
        module.nothing  # noqa: B018


def test_judges_and_tables_of_plugins_load_nothing_heavy():
    code = (
        "import sys, fedgen_bench.authors.claims, fedgen_bench.authors.digits, fedgen_bench.testing.toy; "
        "print(sorted({'torch', 'pydantic', 'pandas', 'numpy', 'pyarrow', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
