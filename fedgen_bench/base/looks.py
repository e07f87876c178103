"""One colour and one marker a contender, by its name alone: it looks the same in every drawing of every suite."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

HUES = (  # on white; each has a contrast of 3 and more
    "#0b6fb8", "#d55e00", "#00875f", "#8e44ad", "#c0223b", "#12808f",
    "#a97700", "#c2458f", "#4b4fc4", "#6b7d10", "#8a5a3b", "#55606e",
)  # fmt: skip
DARK_HUES = (  # the same on a dark ground
    "#5ab0f0", "#ff8f4a", "#35c79a", "#c58be0", "#ff7386", "#45c7d6",
    "#e6b422", "#f283c2", "#9a9cff", "#b3c94a", "#cfa07f", "#a9b4c2",
)  # fmt: skip
N_MARKERS = 8
_SALT = 3400477  # under it no two contenders of a suite that comes with fedgen-bench share a colour
_FAINTEST = 0.4


@dataclass(frozen=True)
class Look:
    """How a contender is drawn.

    Args:
        hue: index into `HUES` and `DARK_HUES`.
        marker: from 0 to below `N_MARKERS`.
        share: of the colour, above 0; the rest is the background's. Below 1 for the earlier points of a sweep.
    """

    hue: int
    marker: int
    share: float = 1.0

    @property
    def on_white(self) -> str:
        """The colour as `#rrggbb` on a white ground."""
        parts = (int(HUES[self.hue][i : i + 2], 16) for i in (1, 3, 5))
        return "#" + "".join(f"{round(255 + (part - 255) * self.share):02x}" for part in parts)


def method_of(name: str) -> str:
    """A row's contender: its name up to a sweep's point (`@rank=2`), overrides (` (a=b)`) or a remark (`, kept`)."""
    return re.split(r"[@ ,]", name, maxsplit=1)[0]


def looks(names: Iterable[str]) -> dict[str, Look]:
    """The look of each name; points of a sweep have their contender's, the further on the axis the stronger."""
    listed = list(dict.fromkeys(names))
    points: dict[str, list[str]] = {}
    for name in sorted(listed, key=_value):
        points.setdefault(method_of(name), []).append(name)
    return {name: _look(name, points[method_of(name)]) for name in listed}


def _value(name: str) -> float:
    """Of a sweep's point; others come before all points, in the order given."""
    try:
        return float(name.rpartition("=")[2]) if "@" in name else -math.inf
    except ValueError:
        return -math.inf


def _look(name: str, points: list[str]) -> Look:
    drawn = hashlib.sha256(f"{_SALT}{method_of(name)}".encode()).digest()
    place = (points.index(name) + 1) / len(points)
    return Look(drawn[0] % len(HUES), drawn[1] % N_MARKERS, round(_FAINTEST + (1 - _FAINTEST) * place, 3))


def spread(wanted: Sequence[float], low: float, high: float, apart: float) -> list[float]:
    """Places of names in a column from `low` to `high`: near to the wanted ones, in their order, and so far `apart`.

    More names than fit go on beyond `low`.
    """
    order = sorted(range(len(wanted)), key=wanted.__getitem__)
    placed = [0.0] * len(wanted)
    before = low - apart
    for i in order:
        before = placed[i] = max(wanted[i], before + apart)
    after = high + apart
    for i in reversed(order):
        after = placed[i] = min(placed[i], after - apart)
    return placed
