"""What a class's docstring says: its first paragraph, and what it says of each field."""

from __future__ import annotations

import inspect
import re
import textwrap

_SECTION = re.compile(r"^Args:\n((?: .*\n|\n)*)", re.MULTILINE)
_ENTRY = re.compile(r"^(\w+(?:, \w+)*):\s+", re.MULTILINE)


def summary_of(documented: object) -> str:
    """The first paragraph on one line; empty where there is none, or where it is about fields."""
    text = _own(documented)
    return "" if isinstance(documented, type) and _inline(documented, text) else _one_line(text.partition("\n\n")[0])


def arguments_of(documented: type) -> dict[str, str]:
    """By field, what is said of it, on one line: below `Args`, or as `a: this. b: that.` in place of a summary.

    `a, b: text` says it of both. What the classes say that a class is made from counts as well.
    """
    found: dict[str, str] = {}
    for one in reversed(documented.__mro__):
        text = _own(one)
        section = _SECTION.search(f"{text}\n")
        for names, said in _entries(textwrap.dedent(section[1])) if section else _inline(one, text):
            found |= dict.fromkeys(names.split(", "), _one_line(said))
    return found


def first_sentence(text: str) -> str:
    """Up to the first full stop that a new sentence follows, or all of it."""
    return re.split(r"(?<=[^.]\.) (?![a-z])", text, maxsplit=1)[0]


def _own(documented: object) -> str:
    """The docstring, of a class only its own."""
    text = vars(documented).get("__doc__") if isinstance(documented, type) else getattr(documented, "__doc__", None)
    return inspect.cleandoc(text or "")


def _entries(section: str) -> list[tuple[str, str]]:
    _, *parts = _ENTRY.split(section)
    return list(zip(parts[::2], parts[1::2], strict=True))


def _inline(documented: type, text: str) -> list[tuple[str, str]]:
    names = "|".join(inspect.get_annotations(documented))
    first, *parts = re.split(rf"(?:^|(?<=\.)\s+)((?:{names})): ", text) if names else [text]
    return [] if first else list(zip(parts[::2], parts[1::2], strict=True))


def _one_line(text: str) -> str:
    return " ".join(text.split())
