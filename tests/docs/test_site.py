"""Pages that are made when the site is built."""

import importlib.util
import posixpath
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("mkdocs")
from mkdocs.config import load_config

import fedgen_bench
from fedgen_bench.registry.plugins import load_registry

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("site_pages", ROOT / "docs" / "site_pages.py")
site_pages = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(site_pages)


@pytest.fixture
def config():
    return load_config(str(ROOT / "mkdocs.yml"))


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


def test_every_result_has_a_place_in_the_navigation_and_on_the_page_of_results(config):
    page, *under = next(entry["Results"] for entry in site_pages.on_config(config).nav if "Results" in entry)
    assert page == "results.md"
    linked = [page for entry in under for page in entry.values()]
    text = site_pages.results()
    for folder in sorted(path.parent for path in (ROOT / "leaderboards").glob("*/results.json")):
        assert f"results/{folder.name}.md" in linked
        assert f"](results/{folder.name}.md)" in text
        if (folder / "claims.md").exists():
            assert f"results/{folder.name}/claims.md" in linked
            assert f"](results/{folder.name}/claims.md)" in text


def test_page_on_results_is_what_the_repository_has_and_leads_on_to_every_suite():
    """A page that was made took its place once."""
    there = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*")}
    assert there & {*site_pages.MADE, *site_pages.copied().values()} == set()
    text = turned((ROOT / "docs" / "results.md").read_text(encoding="utf-8"), "results.md")
    assert "## Which claims hold" in text
    assert text.endswith(site_pages.results())
    assert "[`fedprox_full`](cards/fedprox.md) |" in text


def test_contenders_in_tables_lead_to_their_card_or_that_of_their_strategy():
    rows = "| 1 | epochs=2 | fedavg_full@epochs=2 | x |\n| – | – | frozen | 0 |\n| a | fedavg | b |\n"
    text = turned("# Title\n\n" + rows, "results/ptb-epochs.md")
    assert (
        "\n\n| 1 | epochs=2 | [fedavg_full@epochs=2](../cards/fedavg.md) | x |\n"
        "| – | – | [frozen](../components.md#frozen) | 0 |\n| a | fedavg | b |\n"
    ) in text
    text = turned("| `prompt_tuning` | 1 |", "results/ptb/claims.md")
    assert text == "| [`prompt_tuning`](../../cards/prompt_tuning.md) | 1 |"


def test_leaderboard_site_stands_below_the_pages(tmp_path):
    site_pages.on_post_build(SimpleNamespace(site_dir=str(tmp_path)))
    for page in ("results.md", "results/ptb.md"):
        text = turned("# Title\n", page)
        address = posixpath.join(page.removesuffix(".md"), re.search(r'href="([^"]*)"', text)[1])
        assert (tmp_path / posixpath.normpath(address)).is_file()


def test_published_table_shows_its_plots_and_leads_to_its_claims():
    text = turned("# A table\n", "results/ptb.md")
    assert "![Over rounds](ptb/convergence.svg)" in text
    assert "[Which claims hold](ptb/claims.md)" in text
    assert turned("# A page\n", "suites.md") == "# A page\n"


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
        ("results/ptb/claims.md", "![x](claims/uplink_by_rank.svg)", "![x](claims/uplink_by_rank.svg)"),
        ("index.md", "[x](leaderboards/ptb/claims.md)", "[x](results/ptb/claims.md)"),
        ("index.md", "[x](nowhere.md)", "[x](nowhere.md)"),
        ("index.md", "[x](https://example.org/docs/plugins.md)", "[x](https://example.org/docs/plugins.md)"),
    ],
)
def test_link_of_the_repository_becomes_one_of_the_site(page, link, wanted):
    assert turned(link, page).partition("\n")[0] == wanted
