"""SVG as text: elements, and the shapes that stand for contenders. Colours come from the page's style sheet."""

from __future__ import annotations

from markupsafe import Markup, escape

from fedgen_bench.base.looks import Look

_SHAPES = (  # relative paths around the point, one a marker
    "m-3.6 0a3.6 3.6 0 1 0 7.2 0a3.6 3.6 0 1 0-7.2 0z",
    "m-3.2-3.2h6.4v6.4h-6.4z",
    "m0-4.4l4.4 7.4h-8.8z",
    "m0-4.6l4.6 4.6l-4.6 4.6l-4.6-4.6z",
    "m0 4.4l4.4-7.4h-8.8z",
    "m-1.5-4.5h3v3h3v3h-3v3h-3v-3h-3v-3h3z",
    "m-4.2-2.1l2.1-2.1l2.1 2.1l2.1-2.1l2.1 2.1l-2.1 2.1l2.1 2.1l-2.1 2.1l-2.1-2.1l-2.1 2.1l-2.1-2.1l2.1-2.1z",
    "m-2-3.6h4l2.2 3.6l-2.2 3.6h-4l-2.2-3.6z",
)


def number(value: float) -> str:
    """A coordinate: a tenth of a unit is finer than anybody sees."""
    return f"{round(value, 1) + 0.0:.1f}".removesuffix(".0")


def element(tag: str, *inside: str, **attributes: object) -> Markup:
    """An element; `_` in names of attributes is `-`, a trailing one is dropped; text inside is escaped."""
    given = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{number(value) if isinstance(value, float) else escape(value)}"'
        for name, value in attributes.items()
        if value is not None
    )
    content = "".join(escape(one) for one in inside)
    return Markup(f"<{tag}{given}>{content}</{tag}>" if content else f"<{tag}{given}/>")  # noqa: S704 - all is escaped


def line(points: list[tuple[float, float]]) -> str:
    """A path's `d` through points."""
    return "M" + "L".join(f"{number(x)} {number(y)}" for x, y in points)


def look_style(look: Look) -> str | None:
    """The style that tells the page's colours which share of the hue a contender has."""
    return None if look.share == 1 else f"--share:{100 * look.share:.0f}%"


def look_class(look: Look) -> str:
    """The class that the page's colours go by."""
    return f"look h{look.hue}"


def marker(look: Look, x: float, y: float, title: str = "") -> Markup:
    """The contender's shape at a place, with what is told of it."""
    inside = (element("title", title),) if title else ()
    return element("path", *inside, class_="mark", d=f"M{number(x)} {number(y)}{_SHAPES[look.marker]}")


def swatch(look: Look) -> Markup:
    """The contender's shape in its colour, for tables; what it stands for is the name beside it."""
    shape = element("path", class_="mark", d=f"M6 6{_SHAPES[look.marker]}")
    return element(
        "svg", shape, class_=f"swatch {look_class(look)}", style=look_style(look), viewBox="0 0 12 12",
        width="12", height="12", aria_hidden="true",
    )  # fmt: skip
