"""Formulas of the documents are TeX that becomes MathML, and nobody has to read them as plain text."""

import html
import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("mkdocs")
pytest.importorskip("latex2mathml")
from latex2mathml.converter import convert
from markdown import Markdown
from mkdocs.config import load_config

sys.path.insert(0, str(Path(__file__).parents[2] / "docs"))
from site_formulas import with_formulas

ROOT = Path(__file__).parents[2]
CARDS = sorted(ROOT.glob("*/fedgen_bench_*/cards/*.md"))
PAGES = [*CARDS, *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^ *```math\n(.+?)^ *```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"\$`([^`\n]+)`\$")
CODE = re.compile(r"^ *```.+?^ *```$|\$?`[^`\n]+`\$?", re.MULTILINE | re.DOTALL)
PLAIN = re.compile(r"\bsum_\w|\b\w+_\{?[krit]\b|<- |\bsqrt\(")


@pytest.fixture(scope="module")
def shown():
    """What the site makes of a text."""
    config = load_config(str(ROOT / "mkdocs.yml"), docs_dir=str(ROOT / "docs"))
    md = Markdown(extensions=config.markdown_extensions, extension_configs=config.mdx_configs)
    return lambda text: md.reset().convert(with_formulas(text))


def test_formulas_are_drawn_inside_lines_and_on_lines_of_their_own(shown):
    page = shown("With $`p_k`$ and `code`:\n\n```math\n\\frac{a}{b}\n```\n")
    assert "<msub><mi>p</mi><mi>k</mi></msub>" in page
    assert 'display="block"' in page
    assert "<mfrac>" in page
    assert "<code>code</code>" in page
    assert "$" not in page


def test_formula_at_the_start_of_a_line_stays_in_its_paragraph(shown):
    assert re.fullmatch(
        r"<p><span><math.*</math></span> and\n<span><math.*</math></span>\.</p>", shown("$`a`$ and\n$`b`$.")
    )


def test_marks_of_markdown_mean_nothing_in_formulas(shown):
    page = html.unescape(shown(r"| x |\n|---|\n| $`[a](b) * c * \vert d_{e_f}`$ |"))
    assert '<mo stretchy="false">[</mo><mi>a</mi>' in page
    assert page.count("<mo>*</mo>") == 2
    assert "<em>" not in page


@pytest.mark.parametrize(
    "text", ["`` $`a`$ ``", "```text\n$`a`$\n```", "````markdown\n```math\na\n```\n````", "`a$` and `b`\n"]
)
def test_code_that_looks_like_a_formula_stays_code(text):
    assert with_formulas(text) == text


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_every_formula_is_whole(path, shown):
    text = path.read_text(encoding="utf-8")
    written = [*FENCE.findall(text), *INLINE.findall(text)]
    page = shown(text)
    assert page.count("<math") == len(written)
    for formula in written:
        assert formula.count("{") == formula.count("}")
        assert "\\" not in re.sub(r"<[^>]+>", "", convert(formula)), formula


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.stem)
def test_no_formula_of_a_card_is_plain_text(path):
    assert PLAIN.findall(CODE.sub("", path.read_text(encoding="utf-8"))) == []
