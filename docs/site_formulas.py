"""Formulas in TeX become MathML, which browsers draw by themselves.

Formulas stand in documents as code hosts take them: a fence of language `math`, or dollars around backticks inside a
line.
"""

from __future__ import annotations

import re

from latex2mathml.converter import convert

_FENCE = r"^(?P<indent> *)(?P<fence>`{3,})(?P<language>\w*)[^`\n]*\n(?P<block>.*?)^ *(?P=fence) *$"
_INLINE = r"\$`(?P<inline>[^`\n]+)`\$"
_CODE = r"(?<!`)(?P<code>`+)(?!`)(?:(?!\n\n).)+?(?<!`)(?P=code)(?!`)"
_FOUND = re.compile(f"{_FENCE}|{_INLINE}|{_CODE}", re.MULTILINE | re.DOTALL)


def with_formulas(text: str) -> str:
    """A document with its formulas as MathML; other code stays as it is."""
    return _FOUND.sub(_drawn, text)


def _drawn(found: re.Match[str]) -> str:
    if found["inline"]:
        return f"<span>{_unmarked(convert(found['inline']))}</span>"  # a line that begins with <math> were a block
    if found["language"] == "math":
        return found["indent"] + _unmarked(convert(found["block"], display="block"))
    return found[0]


def _unmarked(mathml: str) -> str:
    """The same with nothing that means something in Markdown: its marks become character references."""
    parts = re.split(r"(<[^>]+>|&[#\w]+;)", mathml)
    parts[::2] = (re.sub(r"[!-/:-@\[-`{-~]", lambda mark: f"&#{ord(mark[0])};", part) for part in parts[::2])
    return "".join(parts)
