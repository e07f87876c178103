"""Where two JSON values differ, in sentences."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any


def different(found: Any, expected: Any, path: str = "", *, owner: str = "the suite") -> Iterator[str]:
    """Where two JSON values differ, as `path is X, the suite has Y`; 1 and 1.0 differ, as digests see them."""
    if isinstance(found, dict) and isinstance(expected, dict):
        for key in sorted(found.keys() | expected.keys()):
            where = f"{path}.{key}" if path else key
            if key not in found:
                yield f"`{where}` is missing, {owner} has {_said(expected[key])}"
            elif key not in expected:
                yield f"`{where}` is {_said(found[key])}, {owner} has none"
            else:
                yield from different(found[key], expected[key], where, owner=owner)
    elif isinstance(found, list) and isinstance(expected, list) and len(found) == len(expected):
        for i, (one, other) in enumerate(zip(found, expected, strict=True)):
            yield from different(one, other, f"{path}.{i}", owner=owner)
    elif json.dumps(found, sort_keys=True) != json.dumps(expected, sort_keys=True):
        yield f"`{path}` is {_said(found)}, {owner} has {_said(expected)}"


def _said(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:60]}..."  # noqa: PLR2004 - one line of a terminal
