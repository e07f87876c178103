"""Formulas of the documents are TeX that becomes MathML, and nobody has to read them as plain text."""

import importlib.util
import re
from pathlib import Path

import pytest

pytest.importorskip("mkdocs")
pytest.importorskip("latex2mathml")
from markdown import Markdown
from mkdocs.config import load_config

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("math_markup", ROOT / "docs" / "math_markup.py")
math_markup = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(math_markup)

CARDS = sorted(ROOT.glob("*/*/cards/*.md"))
PAGES = [*CARDS, *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^ *```math\n(.+?)^ *```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"^ *```.+?^ *```$|\$?`[^`\n]+`\$?", re.MULTILINE | re.DOTALL)
PLAIN = re.compile(r"\bsum_\w|\b\w+_\{?[krit]\b|<- |\bsqrt\(")


@pytest.fixture(scope="module")
def shown():
    """What the site makes of a text."""
    config = math_markup.on_config(load_config(str(ROOT / "mkdocs.yml")))
    md = Markdown(extensions=config.markdown_extensions, extension_configs=config.mdx_configs)
    return lambda text: md.reset().convert(text)


def test_formulas_are_drawn_inside_lines_and_on_lines_of_their_own(shown):
    page = shown("With $`p_k`$ and `code`:\n\n```math\n\\frac{a}{b}\n```\n")
    assert "<msub><mi>p</mi><mi>k</mi></msub>" in page
    assert 'display="block"' in page
    assert "<mfrac>" in page
    assert "<code>code</code>" in page
    assert "$" not in page


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_every_formula_is_whole(path, shown):
    text = path.read_text(encoding="utf-8")
    written = [*FENCE.findall(text), *re.findall(math_markup.INLINE, text)]
    page = shown(text)
    assert page.count("<math") == len(written)
    for formula in written:
        assert formula.count("{") == formula.count("}")
        assert "\\" not in re.sub(r"<[^>]+>", "", math_markup.convert(formula)), formula


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.stem)
def test_no_formula_of_a_card_is_plain_text(path):
    assert PLAIN.findall(CODE.sub("", path.read_text(encoding="utf-8"))) == []
