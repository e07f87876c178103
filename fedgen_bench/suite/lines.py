"""Where a table or key of a suite's TOML stands, for messages."""

from __future__ import annotations

import re
from collections.abc import Mapping

_STRINGS = re.compile(  # and comments, which may hold quotes
    r'"""(?:[^\\]|\\.)*?"""|' r"'''.*?'''|" r'"(?:[^"\\\n]|\\.)*"|' r"'[^'\n]*'|#[^\n]*", re.DOTALL
)


def lines_of(text: str) -> dict[tuple[str, ...], int]:
    """Line number of every table header and key of a TOML text, by path; array tables count from 0."""
    line_numbers: dict[tuple[str, ...], int] = {}
    prefix: tuple[str, ...] = ()
    counts: dict[tuple[str, ...], int] = {}
    flat = _STRINGS.sub(lambda one: "\n" * one[0].count("\n") or one[0], text)
    for number, line in enumerate(flat.split("\n"), start=1):
        if header := re.match(r"\s*(\[\[?)\s*([A-Za-z0-9_.\-\"]+)\s*\]", line):
            raw = tuple(part.strip('"') for part in header[2].split("."))
            if header[1] == "[[":
                counts[raw] = counts.get(raw, -1) + 1
            prefix = _numbered(raw, counts)
            line_numbers.setdefault(prefix, number)
        elif key := re.match(r"\s*([A-Za-z0-9_.\-\"]+)\s*=", line):
            parts = tuple(part.strip('"') for part in key[1].split("."))
            for end in range(1, len(parts) + 1):
                line_numbers.setdefault(prefix + parts[:end], number)
    return line_numbers


def _numbered(raw: tuple[str, ...], counts: Mapping[tuple[str, ...], int]) -> tuple[str, ...]:
    path: list[str] = []
    for end in range(1, len(raw) + 1):
        path.append(raw[end - 1])
        if raw[:end] in counts:
            path.append(str(counts[raw[:end]]))
    return tuple(path)
