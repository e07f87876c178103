"""The source of a plugin is its file and every module of its own that this imports."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace

import pytest

from fedgen_bench.registry.sources import editable_sha256, source_sha256

PLUGIN = """
import json, torch, direct
from package import part
from package.deep import value
import importlib

def build(params):
    from late import helper
    importlib.import_module("named")
    try:
        import absent
    except ImportError:
        pass
"""
FILES = {
    "plugin.py": PLUGIN,
    "direct.py": "import second",
    "second.py": "import direct  # in a circle",
    "late.py": "helper = 1",
    "named.py": "x = 1",
    "package/__init__.py": "from . import sibling",
    "package/part.py": "from .sibling import x",
    "package/sibling.py": "from .inner.far import x",
    "package/inner/far.py": "from ..other import x  # a namespace package",
    "package/other.py": "x = 1",
    "package/deep.py": "value = 1",
}


@pytest.fixture
def folder(tmp_path):
    for name, text in {**FILES, "unused.py": "x = 1", "package/unused.py": "x = 1"}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.mark.parametrize("name", FILES)
def test_every_module_that_a_plugin_imports_is_in_its_hash(folder, name):
    before = source_sha256(folder / "plugin.py")
    (folder / name).write_text(FILES[name] + "\nchanged = 1")
    assert source_sha256(folder / "plugin.py") != before


@pytest.mark.parametrize("name", ["unused.py", "package/unused.py"])
def test_modules_that_it_does_not_import_are_not(folder, name):
    before = source_sha256(folder / "plugin.py")
    (folder / name).write_text("x = 2")
    assert source_sha256(folder / "plugin.py") == before


def test_the_hash_of_a_file_that_imports_nothing_of_its_own_is_that_of_the_file(tmp_path):
    path = tmp_path / "plugin.py"
    path.write_text("import json, torch\nfrom fedgen_bench import hookimpl")
    assert source_sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_text("not Python (")
    assert source_sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_distribution_that_is_installed_editable_has_the_hash_of_its_source(folder, monkeypatch):
    told = {"direct_url.json": '{"dir_info": {"editable": true}}'}
    point = SimpleNamespace(module="package.part", dist=SimpleNamespace(read_text=told.get))
    module = SimpleNamespace(__file__=str(folder / "package" / "part.py"))
    monkeypatch.setitem(__import__("sys").modules, "package.part", module)
    before = editable_sha256(point)
    assert before == source_sha256(folder / "package" / "part.py")
    (folder / "package" / "other.py").write_text("x = 2")
    assert editable_sha256(point) != before
    told.clear()
    assert editable_sha256(point) == ""


def test_two_modules_that_change_places_change_the_hash(folder):
    before = source_sha256(folder / "plugin.py")
    (folder / "late.py").write_text(FILES["named.py"])
    (folder / "named.py").write_text(FILES["late.py"])
    assert source_sha256(folder / "plugin.py") != before


def test_an_installed_module_is_not_hashed_with_the_packages_that_are_installed_beside_it(tmp_path_factory):
    site = tmp_path_factory.mktemp("lib") / "site-packages"
    for name, text in FILES.items():
        path = site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert source_sha256(site / "plugin.py") == hashlib.sha256(PLUGIN.encode()).hexdigest()
    own = source_sha256(site / "package" / "part.py")
    (site / "package" / "other.py").write_text("x = 2")
    assert source_sha256(site / "package" / "part.py") != own
    (site / "package" / "other.py").write_text("x = 1\nimport direct")
    own = source_sha256(site / "package" / "part.py")
    (site / "direct.py").write_text("changed = 1")
    assert source_sha256(site / "package" / "part.py") == own
