"""Backbones by name: where they are, one process makes a generated one, what is refused and how it is said."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest
from fedgen_bench_plugins.backbones import shipped
from fedgen_bench_plugins.backbones.loading import load_backbone, load_unet
from fedgen_bench_plugins.backbones.pretrain import pretrain

from fedgen_bench.base.errors import DataError
from fedgen_bench.registry.datasets import Places, finder


@pytest.fixture
def recipe(monkeypatch, tmp_path):
    """A generated backbone `made-here` whose recipe writes one file and counts."""
    module = types.ModuleType("made_here")
    module.calls = []

    def make(folder):
        module.calls.append(folder)
        folder.mkdir()
        (folder / "weights").write_text("some", encoding="utf-8")

    module.make, module.recipe_digest = make, lambda: "0123"
    monkeypatch.setitem(sys.modules, "fedgen_bench_plugins.backbones.made_here", module)
    monkeypatch.setattr(shipped, "GENERATED", ("made-here",))
    monkeypatch.setenv("FEDGEN_CACHE", str(tmp_path / "cache"))
    return module


def test_generated_backbone_is_made_once_and_kept_under_its_digest(recipe, tmp_path):
    first, second = shipped.locate("made-here"), shipped.locate("made-here")
    assert first == second == tmp_path / "cache" / "backbones" / "made-here-0123"
    assert (first / "weights").read_text(encoding="utf-8") == "some"
    assert len(recipe.calls) == 1


def test_generated_backbone_that_breaks_off_leaves_nothing(recipe, monkeypatch, tmp_path):
    def breaks(folder):
        folder.mkdir()
        raise OSError("no space")

    monkeypatch.setattr(recipe, "make", breaks)
    with pytest.raises(DataError, match=r"cannot be cached in .*no space.*Set FEDGEN_CACHE"):
        shipped.locate("made-here")
    assert [one.name for one in (tmp_path / "cache" / "backbones").iterdir()] == ["made-here-0123.lock"]


def test_names_are_folders_of_the_wheel_local_folders_or_the_hubs(tmp_path):
    package = Path(shipped.__file__).parent
    assert shipped.locate("mini-lm") == package / "mini_lm"
    assert shipped.locate("mini-unet") == package / "mini_unet"
    assert shipped.locate(str(tmp_path)) == tmp_path
    assert shipped.locate("owner/name") == "owner/name"
    assert {*shipped.LANGUAGE_MODELS, *shipped.UNETS} == {*shipped.SHIPPED, *shipped.GENERATED, *shipped.PACKAGED}


@pytest.mark.parametrize(("kind", "names"), [("language_model", shipped.LANGUAGE_MODELS), ("unet", shipped.UNETS)])
def test_messages_name_the_backbones_that_are_registered(registry, kind, names):
    specs = [one.spec for one in registry.components["backbone"].values()]
    assert {one.name for one in specs if one.kind == kind} == set(names)


def test_backbone_of_the_other_kind_is_refused_with_the_names_of_this_one():
    with pytest.raises(DataError, match=r"`mini-unet` cannot be loaded: .*models are mini-lm, tiny-wire-lm, smollm2"):
        load_backbone("mini-unet")
    with pytest.raises(DataError, match=r"`mini-lm` cannot .*U-Nets are mini-unet, mini-unet-semi, tiny-shapes-unet\."):
        load_unet("mini-lm", n_classes=10, image_size=16)


def test_pretraining_without_its_texts_names_the_file(tmp_path):
    with pytest.raises(DataError, match=r"There is no .*\.parquet, which the recipe trains on\. Name the folder"):
        pretrain(shipped.SHIPPED["mini-lm"] / "recipe.toml", tmp_path, tmp_path / "work", print)


def test_path_of_a_backbone_leads_where_the_suite_says(registry, tmp_path, monkeypatch):
    (tmp_path / "suites" / "models" / "own").mkdir(parents=True)
    find = finder(registry, Places(beside=tmp_path / "suites"))
    monkeypatch.chdir(tmp_path)
    assert shipped.locate("models/own", find) == tmp_path / "suites" / "models" / "own"
    assert shipped.folders_of("models/own", find) == {"backbone": tmp_path / "suites" / "models" / "own"}
    assert shipped.locate("models/own") == "models/own"  # a name of the hub's, from here
    with pytest.raises(DataError, match=f"There is no folder `{tmp_path}/suites/models/none` for a backbone"):
        shipped.locate("./models/none", find)
