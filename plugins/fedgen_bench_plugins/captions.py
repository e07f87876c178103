"""What a picture of a task shows, in a text within the PNG: written by the task, read for `samples.png`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_KEY = "captions"


@dataclass(frozen=True)
class Captions:
    """Of a picture that may have two halves, the upper one of what a model generates.

    Args:
        columns: names of equal parts of its width.
        below: what the lower half shows, for every model alike; empty where all of the picture is the model's.
    """

    columns: tuple[str, ...] = ()
    below: str = ""

    def to_text(self) -> dict[str, str]:
        """As texts of a PNG, by keyword."""
        return {_KEY: json.dumps({"columns": self.columns, "below": self.below})}


def captions_of(texts: Mapping[str, Any], width: int) -> Captions:
    """The captions in the texts of a PNG of so many pixels; none in those of a picture without.

    Raises:
        ValueError: they are not as they are written.
    """
    try:
        found = json.loads(texts.get(_KEY, "{}"))
        columns, below = found.get("columns", []), found.get("below", "")
    except (AttributeError, TypeError, RecursionError) as error:
        raise ValueError("captions that are no table") from error
    if not isinstance(columns, list) or not all(isinstance(one, str) for one in (*columns, below)):
        raise ValueError("captions that are no names")
    if len(columns) > width:
        raise ValueError("more captions than pixels")
    return Captions(tuple(columns), below)
