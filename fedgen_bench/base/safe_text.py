"""Text from plugins, suites, file names and folders of strangers, made safe to print and to write into a page."""

from __future__ import annotations


def printable(text: str, *, keep: str = "") -> str:
    r"""The text with every character that is not shown (controls, bidirectional marks, lone surrogates) as an escape.

    Escapes are Python's: `\x1b`, `\u202e`. Line ends are escaped as well, unless `keep` has them.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in keep else _escaped(char) for char in text)


def one_line(text: str) -> str:
    """The same, with a blank for every line end."""
    return printable(" ".join(text.splitlines()))


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
