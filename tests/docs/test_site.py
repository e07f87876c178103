"""Pages of the site, which are written before it is built."""

import posixpath
import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("griffe")
pytest.importorskip("mkdocs")
pytest.importorskip("latex2mathml")
from mkdocs.config import load_config

import fedgen_bench
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.site.building import site_files

sys.path.insert(0, str(Path(__file__).parents[2] / "docs"))
import make_site
import site_reference
from site_pages import LEADERBOARDS, MADE, WIDE, navigation, page, pages, results
from site_sources import places

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^ *(`{3,}).*?^ *\1$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """What the script leaves in a folder where an earlier run left more."""
    folder = tmp_path_factory.mktemp("site")
    out, config = folder / "pages", folder / "mkdocs.yml"
    config.write_bytes(make_site.CONFIG.read_bytes())
    make_site.write_site(out, {"index.md": b"", "gone.md": b""})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(make_site, "CONFIG", config)
        patch.setattr(sys, "argv", ["make_site.py", "--out", str(out)])
        make_site.main()
    assert config.read_bytes() == make_site.CONFIG.read_bytes(), "Run `python docs/make_site.py`."
    return out


@pytest.fixture(scope="module")
def config(written):
    return load_config(str(ROOT / "mkdocs.yml"), docs_dir=str(written))


def in_navigation(entry):
    """Pages below an entry."""
    if isinstance(entry, str):
        return [entry]
    return [page for inner in (entry.values() if isinstance(entry, dict) else entry) for page in in_navigation(inner)]


def test_site_is_made_from_written_files_alone(config):
    """So another generator that reads the configuration makes the same of them."""
    assert not config.hooks


def test_written_folder_is_what_the_repository_gives(written):
    there = {path.relative_to(written).as_posix(): path for path in written.rglob("*") if path.is_file()}
    assert there.pop("SHA256SUMS")
    assert {name: path.read_bytes() for name, path in there.items()} == pages()


def test_every_page_of_the_navigation_is_written(written, config):
    assert [name for name in [*in_navigation(config.nav), *config.extra_css] if not (written / name).is_file()] == []


def test_every_link_of_a_written_page_leads_to_a_written_file(written):
    astray = []
    for path in sorted(written.rglob("*.md")):
        text = re.sub(r"`[^`\n]+`", "", FENCE.sub("", path.read_text(encoding="utf-8")))
        targets = [target for target in re.findall(r"\]\(([^)\s#]+)", text) if "://" not in target]
        astray += [f"{path.relative_to(written)}: {one}" for one in targets if not (path.parent / one).is_file()]
    assert astray == []


def test_page_on_python_names_has_every_exported_name():
    text = site_reference.python_names()
    whole = [module for module in site_reference.WHOLE if f"\n::: {module}\n" in text]
    assert len(whole) == len(site_reference.WHOLE)
    for name in fedgen_bench.__all__:
        in_whole = any(f"\n{start} {name}" in (ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
                       for module in whole for start in ("class", "def")) or name == "Tensors"  # fmt: skip
        assert in_whole or f".{name}\n" in text, name


def test_page_on_components_has_every_component_and_card():
    text = site_reference.components()
    for kind, found in load_registry(environ={}).components.items():
        assert f"\n## {kind.replace('_', ' ').capitalize()}\n" in text
        assert [name for name in found if f"\n### `{name}`\n" not in text] == []
    for card in ROOT.glob("*/fedgen_bench_*/cards/*.md"):
        assert f"](cards/{card.name})" in text, card.name


def test_every_result_has_a_place_in_the_navigation_and_on_the_page_of_results(config):
    first, *under = next(in_navigation(entry) for entry in config.nav if "Results" in entry)
    assert first == "results.md"
    text = results()
    for folder in sorted(path.parent for path in (ROOT / "leaderboards").glob("*/results.json")):
        assert f"results/{folder.name}.md" in under
        assert f"](results/{folder.name}.md)" in text
        if (folder / "claims.md").exists():
            assert f"results/{folder.name}/claims.md" in under
            assert f"](results/{folder.name}/claims.md)" in text


def test_navigation_loses_tables_that_are_not_published():
    text = make_site.CONFIG.read_text(encoding="utf-8")
    mark = "      # /published\n"
    assert navigation(text.replace(mark, f"      - gone: results/gone.md\n{mark}")) == text


def test_page_on_results_is_what_the_repository_has_and_leads_on_to_every_suite():
    """A page that was made took its place once."""
    assert MADE.keys() & set(places().values()) == set()
    text = page("docs/results.md", (ROOT / "docs" / "results.md").read_text(encoding="utf-8"))
    assert "## Which claims hold" in text
    assert text.endswith(results())
    assert "[`fedprox_full`](cards/fedprox.md) |" in text


def test_contenders_in_tables_lead_to_their_card_or_that_of_their_strategy():
    rows = "| 1 | epochs=2 | fedavg_full@epochs=2 | x |\n| – | – | frozen | 0 |\n| a | fedavg | b |\n"
    text = page("leaderboards/ptb-epochs/table.md", "# Title\n\n" + rows)
    assert (
        "\n\n| 1 | epochs=2 | [fedavg_full@epochs=2](../cards/fedavg.md) | x |\n"
        "| – | – | [frozen](../components.md#frozen) | 0 |\n| a | fedavg | b |\n"
    ) in text
    text = page("leaderboards/ptb/claims.md", "| `prompt_tuning` | 1 |")
    assert text == "| [`prompt_tuning`](../../cards/prompt_tuning.md) | 1 |"


def test_leaderboard_site_stands_below_the_pages():
    files = {f"{LEADERBOARDS}/{name}" for name in site_files(ROOT / "leaderboards", load_registry(environ={}))}
    for source in ("docs/results.md", "leaderboards/ptb/table.md"):
        address = re.search(r'href="([^"]*)"', page(source, "# Title\n"))[1]
        assert posixpath.normpath(posixpath.join(places()[source].removesuffix(".md"), address)) in files
    tox = (ROOT / "tox.ini").read_text(encoding="utf-8")
    assert f"fedgen-bench site --out {{env_tmp_dir}}{{/}}site{{/}}{LEADERBOARDS}\n" in tox


def test_published_table_leads_to_its_claims():
    assert "[Which claims hold](ptb/claims.md)" in page("leaderboards/ptb/table.md", "# A table\n")
    assert page("docs/suites.md", "# A page\n") == "# A page\n"


def test_published_table_shows_every_picture_beside_it_once(written):
    for folder in sorted(path.parent for path in (ROOT / "leaderboards").glob("*/table.md")):
        text = (written / "results" / f"{folder.name}.md").read_text(encoding="utf-8")
        pictures = sorted(
            f"{folder.name}/{path.name}" for pattern in ("*.svg", "*.png") for path in folder.glob(pattern)
        )
        assert sorted(re.findall(r"!\[.*?\]\((.*?)\)", text)) == sorted(pictures) != []


@pytest.mark.parametrize(
    ("source", "link", "wanted"),
    [
        ("README.md", "[x](docs/plugins.md)", "[x](plugins.md)"),
        ("README.md", "[x](LICENSE)", "x"),
        ("README.md", "[x](leaderboards/ptb/table.md)", "[x](results/ptb.md)"),
        (
            "docs/suites.md",
            "[x](../baselines/fedgen_bench_baselines/cards/fedavg.md#traps)",
            "[x](cards/fedavg.md#traps)",
        ),
        ("docs/how-to/task.md", "[x](../plugins.md#rules)", "[x](../plugins.md#rules)"),
        ("baselines/fedgen_bench_baselines/cards/fedavg.md", "[x](fedprox.md)", "[x](fedprox.md)"),
        ("leaderboards/ptb/table.md", "![x](convergence.svg)", "![x](ptb/convergence.svg)"),
        ("leaderboards/ptb/claims.md", "![x](claims/uplink_by_rank.svg)", "![x](claims/uplink_by_rank.svg)"),
        ("README.md", "[x](leaderboards/ptb/claims.md)", "[x](results/ptb/claims.md)"),
        ("README.md", "[x](nowhere.md)", "[x](nowhere.md)"),
        ("README.md", "[x](https://example.org/docs/plugins.md)", "[x](https://example.org/docs/plugins.md)"),
    ],
)
def test_link_of_the_repository_becomes_one_of_the_site(source, link, wanted):
    assert page(source, link).removeprefix(WIDE).partition("\n")[0] == wanted
