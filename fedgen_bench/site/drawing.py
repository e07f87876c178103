"""Drawings of series over two axes, as SVG: lines with bands, or points with intervals and their frontier."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

from markupsafe import Markup

from fedgen_bench.base.digits import show
from fedgen_bench.base.looks import Look, spread
from fedgen_bench.site.labels import HEIGHT, Label, beside, width_of
from fedgen_bench.site.scales import Scale, scale
from fedgen_bench.site.svg import element, line, look_class, look_style, marker, number

_LEFT, _TOP, _BOTTOM = 62.0, 34.0, 48.0
_PLOT_WIDTH, _PLOT_HEIGHT = 310.0, 270.0
_LEAST_WIDTH = 500.0  # drawings of a page are of one size where their names allow it
_X_TICKS, _Y_TICKS = 6, 6
_BESIDE = 150.0  # right of the plot, that names of points there may take
_NEAR = 12.0  # a label that near to its line's end needs nothing that leads to it


@dataclass(frozen=True)
class Spot:
    """A mean with its range or interval, and what is told of it."""

    x: float
    y: float
    low: float
    high: float
    title: str


@dataclass(frozen=True)
class Line:
    """A contender's spots; dashed for reference rows."""

    name: str
    look: Look
    spots: tuple[Spot, ...]
    dashed: bool = False


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """What is drawn.

    Args:
        title: the heading; the drawing's accessible name.
        note: what band, bars and lines are, in a sentence.
        levels: horizontal lines, with their names.
        x_tick: how values of the x axis are written.
        whole: only whole numbers on the x axis.
        frontier: the best value for so much of x, as a stair; whether lower is better, None for no stair.
        joined: whether spots of a line are joined, its band drawn and its name written at its end.
    """

    title: str
    note: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...]
    levels: tuple[tuple[str, float], ...] = ()
    log_x: bool = False
    log_y: bool = False
    whole: bool = False
    x_tick: Callable[[float], str] = lambda value: f"{value:g}"
    frontier: bool | None = None
    joined: bool = True


def draw(drawing: Drawing) -> Markup:
    """The SVG; its accessible description says what the lines end at."""
    spots = [spot for one in drawing.lines for spot in one.spots]
    heights = [*chain.from_iterable((s.low, s.y, s.high) for s in spots), *(y for _, y in drawing.levels)]
    right, bottom = _LEFT + _PLOT_WIDTH, _TOP + _PLOT_HEIGHT
    x = scale((s.x for s in spots), _LEFT, right, log=drawing.log_x, tight=drawing.whole)
    y = scale(heights, bottom, _TOP, log=drawing.log_y)
    ends, named = _in_column(drawing, x, y) if drawing.joined else _beside(drawing, x, y)
    reached = [label.x + width_of(label.text) for label in (*(end.label for end in ends), *named) if not label.before]
    width, height = max(_LEAST_WIDTH, *reached), bottom + _BOTTOM
    inside = [
        element("title", drawing.title),
        element("desc", _described(drawing)),
        *_axes(drawing, x, y),
        *_levels(drawing, y, named, right),
        *_frontier(drawing, x, y, right),
        *(_line(one, x, y, joined=drawing.joined) for one in drawing.lines if one.spots),
        *map(_end, ends),
    ]
    return element(
        "svg", *inside, class_="drawing", role="img", viewBox=f"0 0 {number(width)} {number(height)}",
        style=f"max-width:{number(width * 1.15)}px",
    )  # fmt: skip


def _described(drawing: Drawing) -> str:
    last = [f"{one.name}: {one.spots[-1].title}" for one in drawing.lines if one.spots]
    levels = [f"{name}: {show(value)}" for name, value in drawing.levels]
    return f"{drawing.y_label} by {drawing.x_label}. " + "; ".join((*last, *levels)) + "."


def _axes(drawing: Drawing, x: Scale, y: Scale) -> list[Markup]:
    made = []
    for value in y.ticks(_Y_TICKS):
        place = y.at(value)
        made += [
            element("path", class_="grid", d=line([(x.start, place), (x.end, place)])),
            element("text", f"{value:g}", class_="tick", x=x.start - 7, y=place + 4.2, text_anchor="end"),
        ]
    taken = -math.inf
    for value in x.ticks(_X_TICKS, whole=drawing.whole):
        place, text = x.at(value), drawing.x_tick(value)
        made.append(element("path", class_="grid", d=line([(place, y.start), (place, y.start + 5)])))
        half = width_of(text) / 2
        if place - half > taken:
            made.append(element("text", text, class_="tick", x=place, y=y.start + 19, text_anchor="middle"))
            taken = place + half
    made.append(element("path", class_="axis", d=line([(x.start, y.start), (x.end, y.start)])))
    made.append(element("text", drawing.y_label, class_="axis-label", x=4.0, y=14.0))
    middle = (x.start + x.end) / 2
    made.append(element("text", drawing.x_label, class_="axis-label", x=middle, y=y.start + 39, text_anchor="middle"))
    return made


@dataclass(frozen=True)
class _End:
    """A line's name, and where the line ends."""

    label: Label
    line: Line
    at: tuple[float, float]


def _in_column(drawing: Drawing, x: Scale, y: Scale) -> tuple[list[_End], list[Label]]:
    """Names of lines and levels right of the plot, each as high as its line ends as far as that goes."""
    lines = [one for one in drawing.lines if one.spots]
    ends = [(x.at(one.spots[-1].x), y.at(one.spots[-1].y)) for one in lines]
    names = [*(one.name for one in lines), *(name for name, _ in drawing.levels)]
    wanted = [*(place for _, place in ends), *(y.at(value) for _, value in drawing.levels)]
    labels = [
        Label(name, x.end + 16, place)
        for name, place in zip(names, spread(wanted, _TOP, y.start + 6, HEIGHT), strict=True)
    ]
    made = [_End(label, one, end) for label, one, end in zip(labels, lines, ends, strict=False)]
    return made, labels[len(lines) :]


def _beside(drawing: Drawing, x: Scale, y: Scale) -> tuple[list[_End], list[Label]]:
    """Names of lines beside their spots, those of levels right of the plot."""
    lines = [one for one in drawing.lines if one.spots]
    at = [(x.at(one.spots[-1].x), y.at(one.spots[-1].y)) for one in lines]
    places = spread([y.at(value) for _, value in drawing.levels], _TOP, y.start, HEIGHT)
    levels = [Label(name, x.end + 8, place) for (name, _), place in zip(drawing.levels, places, strict=True)]
    labels = beside([(one.name, *place) for one, place in zip(lines, at, strict=True)], x.end + _BESIDE, levels)
    return [_End(*one) for one in zip(labels, lines, at, strict=True)], levels


def _end(end: _End) -> Markup:
    """A line's name, and where it stands away from the line's end, what leads to it."""
    label, one = end.label, end.line
    leader = element("path", class_="leader", d=line([end.at, (label.x - 3, label.y)]))
    anchor = "end" if label.before else None
    text = element("text", label.text, class_="label", x=label.x, y=label.y + 4.4, text_anchor=anchor)
    inside = (text,) if label.before or label.x - end.at[0] < _NEAR else (leader, text)
    return element("g", *inside, class_=look_class(one.look), style=look_style(one.look))


def _levels(drawing: Drawing, y: Scale, named: Sequence[Label], right: float) -> list[Markup]:
    made = []
    for (name, value), label in zip(drawing.levels, named, strict=True):
        title = element("title", f"{name}: {show(value)}")
        made += [
            element("path", title, class_="level", d=line([(_LEFT, y.at(value)), (right, y.at(value))])),
            element("text", label.text, class_="level-label", x=label.x, y=label.y + 4.4),
        ]
    return made


def _frontier(drawing: Drawing, x: Scale, y: Scale, right: float) -> list[Markup]:
    """A stair through the spots that no other one beats in both."""
    if drawing.frontier is None:
        return []
    spots = sorted((s for one in drawing.lines for s in one.spots), key=lambda s: s.x)
    stair: list[tuple[float, float]] = []
    best: float | None = None
    for spot in spots:
        if best is None or (spot.y < best if drawing.frontier else spot.y > best):
            if best is not None:
                stair.append((x.at(spot.x), y.at(best)))
            best = spot.y
            stair.append((x.at(spot.x), y.at(best)))
    if best is not None:
        stair.append((right, y.at(best)))
    return [element("path", element("title", "frontier"), class_="frontier", d=line(stair))] if stair else []


def _line(one: Line, x: Scale, y: Scale, *, joined: bool) -> Markup:
    at = [(x.at(s.x), y.at(s.y)) for s in one.spots]
    inside: list[Markup] = []
    if joined:
        lower = [(x.at(s.x), y.at(s.low)) for s in one.spots]
        upper = [(x.at(s.x), y.at(s.high)) for s in reversed(one.spots)]
        if len(at) > 1:
            inside.append(element("path", class_="band", d=line([*lower, *upper]) + "Z"))
            inside.append(element("path", class_="line dashed" if one.dashed else "line", d=line(at)))
    else:
        bars = [[(place[0], y.at(s.low)), (place[0], y.at(s.high))] for s, place in zip(one.spots, at, strict=True)]
        inside += [element("path", class_="bar", d=line(bar)) for bar in bars]
    inside += [marker(one.look, *place, s.title) for s, place in zip(one.spots, at, strict=True)]
    return element("g", *inside, class_=look_class(one.look), style=look_style(one.look))
