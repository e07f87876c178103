"""Pages that are made when the site is built."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("mkdocs")

import fedgen_bench
from fedgen_bench.registry.plugins import load_registry

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("site_pages", ROOT / "docs" / "site_pages.py")
site_pages = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(site_pages)


def turned(text, page):
    return site_pages.on_page_markdown(text, SimpleNamespace(file=SimpleNamespace(src_uri=page)))


def test_page_on_python_names_has_every_exported_name():
    text = site_pages.python_names()
    whole = [module for module in site_pages.WHOLE if f"\n::: {module}\n" in text]
    assert len(whole) == len(site_pages.WHOLE)
    for name in fedgen_bench.__all__:
        in_whole = any(f"\n{start} {name}" in (ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
                       for module in whole for start in ("class", "def")) or name == "Tensors"  # fmt: skip
        assert in_whole or f".{name}\n" in text, name


def test_page_on_components_has_every_component_and_card():
    text = site_pages.components()
    for kind, found in load_registry(environ={}).components.items():
        assert f"\n## {kind.replace('_', ' ').capitalize()}\n" in text
        assert [name for name in found if f"\n### `{name}`\n" not in text] == []
    for card in ROOT.glob("*/*/cards/*.md"):
        assert f"](cards/{card.name})" in text, card.name


@pytest.mark.parametrize(
    ("page", "link", "wanted"),
    [
        ("index.md", "[x](docs/plugins.md)", "[x](plugins.md)"),
        ("index.md", "[x](LICENSE)", "x"),
        ("index.md", "[x](leaderboards/ptb/table.md)", "[x](results/ptb.md)"),
        ("suites.md", "[x](../baselines/fedgen_bench_baselines/cards/fedavg.md#traps)", "[x](cards/fedavg.md#traps)"),
        ("how-to/task.md", "[x](../plugins.md#rules)", "[x](../plugins.md#rules)"),
        ("cards/fedavg.md", "[x](fedprox.md)", "[x](fedprox.md)"),
        ("results/ptb.md", "![x](convergence.svg)", "![x](ptb/convergence.svg)"),
        ("index.md", "[x](nowhere.md)", "[x](nowhere.md)"),
        ("index.md", "[x](https://example.org/docs/plugins.md)", "[x](https://example.org/docs/plugins.md)"),
    ],
)
def test_link_of_the_repository_becomes_one_of_the_site(page, link, wanted):
    assert turned(link, page) == wanted
