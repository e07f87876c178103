"""Names beside what they stand for, so that none covers another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LETTER = 8.7  # width of a letter at the size of labels, in the widest font that pages are shown in
HEIGHT = 16.0
_AWAY = 9.0


@dataclass(frozen=True)
class Label:
    """A name and where it stands: its left end (or its right one where `before`), on its middle line."""

    text: str
    x: float
    y: float
    before: bool = False


def width_of(text: str) -> float:
    """How much room a label takes."""
    return LETTER * len(text)


def beside(points: Sequence[tuple[str, float, float]], right: float, others: Iterable[Label] = ()) -> list[Label]:
    """A label for each point (name, x, y): at its right if that is free of `others`, else left, else above or below."""
    taken = [*((x - 5, y - 5, x + 5, y + 5) for _, x, y in points), *map(_box, others)]
    labels = []
    for text, x, y in points:
        width = width_of(text)
        tried = [
            Label(text, x + side * _AWAY, y + lift, side < 0)
            for lift in (0.0, -HEIGHT, HEIGHT, -1.8 * HEIGHT, 1.8 * HEIGHT)
            for side in (1, -1)
        ]
        fitting = [one for one in tried if (one.x - width >= 0 if one.before else one.x + width <= right)]
        free = [one for one in fitting if not any(_meet(_box(one), other) for other in taken)]
        chosen = (free or fitting or tried)[0]
        taken.append(_box(chosen))
        labels.append(chosen)
    return labels


def _box(label: Label) -> tuple[float, float, float, float]:
    left = label.x - (width_of(label.text) if label.before else 0.0)
    return left, label.y - HEIGHT / 2, left + width_of(label.text), label.y + HEIGHT / 2


def _meet(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
