"""A hook of MkDocs: formulas in TeX become MathML, which browsers draw by themselves.

Formulas stand in documents as code hosts take them: a fence of language `math`, or dollars around backticks inside a
line.
"""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree as ET

from latex2mathml.converter import convert
from markdown import Extension, Markdown
from markdown.inlinepatterns import InlineProcessor

INLINE = r"\$`([^`\n]+)`\$"
_BEFORE_CODE = 195  # Markdown takes backticks at 190


class _Inline(InlineProcessor):
    def handleMatch(self, found: re.Match[str], _: str) -> tuple[ET.Element | str, int, int]:  # type: ignore[override]  # noqa: N802 - Markdown's name
        return self.md.htmlStash.store(convert(found[1])), found.start(), found.end()


class Formulas(Extension):
    """Formulas inside a line."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 - Markdown's name
        md.inlinePatterns.register(_Inline(INLINE, md), "formula", _BEFORE_CODE)


def fenced(source: str, language: str, css_class: str, options: Any, md: Any, **further: Any) -> str:  # noqa: ARG001
    """A formula on lines of its own."""
    return convert(source, display="block")


def on_config(config: Any) -> Any:
    """Formulas are an extension of Markdown, and a kind of fence."""
    config.markdown_extensions.append(Formulas())
    fences = config.mdx_configs["pymdownx.superfences"]["custom_fences"]
    fences.append({"name": "math", "class": "math", "format": fenced})
    return config
