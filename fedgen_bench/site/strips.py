"""Drawings that are a row of a table high: intervals beside a zero line, and a dot for every client."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from fedgen_bench.base.digits import decimals_of, show
from fedgen_bench.base.looks import Look
from fedgen_bench.results.table import Table
from fedgen_bench.site.scales import Scale, scale
from fedgen_bench.site.svg import element, line, look_class, look_style, marker, number

if TYPE_CHECKING:
    from fedgen_bench.results.record import Done

_WIDTH, _HEIGHT, _EDGE = 260.0, 26.0, 10.0
_AXIS_HEIGHT = 22.0
_TICKS = 5
_WORDS = {"global": "global model", "kept": "model it kept", "personalized": "after more steps"}


@dataclass(frozen=True, kw_only=True)
class Strip:
    """A row: whose, drawn and in figures."""

    contender: str
    what: str
    svg: Markup
    figures: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Strips:
    """Rows over one axis, which stands above them."""

    axis: Markup
    rows: tuple[Strip, ...]


def differences(table: Table, looked: Mapping[str, Look]) -> Strips | None:
    """Paired differences to the reference with their intervals, None without any."""
    found = {name: one for name, one in table.paired.items() if math.isfinite(one.mean)}
    if not found:
        return None
    ends = [end for one in found.values() for end in (one.low, one.mean, one.high) if math.isfinite(end)]
    axis = scale([0.0, *ends], _EDGE, _WIDTH - _EDGE)
    rows = []
    for name, one in found.items():
        half = (one.high - one.low) / 2
        decimals = decimals_of(one.mean, half)
        known = math.isfinite(half)
        low, high = (show(end, decimals, sign="+") for end in (one.low, one.high)) if known else ("–", "–")
        drawn = [marker(looked[name], axis.at(one.mean), _HEIGHT / 2)]
        if known:
            drawn.insert(0, _bar(axis, one.low, one.high))
        rows.append(
            Strip(
                contender=name,
                what="",
                svg=_svg(axis, drawn, looked[name], zero=True),
                figures=(
                    show(one.mean, decimals, sign="+"), f"{low} to {high}" if known else "–", str(one.n),
                    _outcome(one.low, one.high, table) if known else "–",
                ),
            )
        )  # fmt: skip
    return Strips(axis=_axis(axis), rows=tuple(rows))


def _outcome(low: float, high: float, table: Table) -> str:
    """In a word, before any correction for the number of comparisons."""
    if low <= 0 <= high:
        return "undecided"
    return "better" if (high < 0) == table.lower_is_better else "worse"


def clients(table: Table, records: Sequence[Done], looked: Mapping[str, Look]) -> Strips | None:
    """A dot for every client that was evaluated under every seed, contenders by model; None without any."""
    found: dict[tuple[str, str], list[float]] = {}
    for record in records:
        for which, by_client in record.per_client.items():
            found.setdefault((record.contender, which), []).extend(by_client.values())
    order = {row["contender"]: place for place, row in enumerate(table.rows)}
    kept = {key: values for key, values in found.items() if values and key[0] in order}
    if not kept:
        return None
    every = [value for values in kept.values() for value in values]
    axis = scale(every, _EDGE, _WIDTH - _EDGE, log=min(every) > 0 and max(every) > 4 * min(every))
    rows = []
    for name, model in sorted(kept, key=lambda key: (order[key[0]], list(_WORDS).index(key[1]))):
        values = sorted(kept[name, model])
        mean = sum(values) / len(values)
        dots = "".join(f"M{number(axis.at(value))} {number(_HEIGHT / 2)}h0" for value in values)
        stroke = line([(axis.at(mean), 4.0), (axis.at(mean), _HEIGHT - 4)])
        drawn = [element("path", class_="dots", d=dots), element("path", class_="mean", d=stroke)]
        rows.append(
            Strip(
                contender=name,
                what=_WORDS[model],
                svg=_svg(axis, drawn, looked[name]),
                figures=(show(mean), show(values[0]), show(values[-1]), str(len(values))),
            )
        )
    return Strips(axis=_axis(axis), rows=tuple(rows))


def _bar(axis: Scale, low: float, high: float) -> Markup:
    return element("path", class_="bar", d=line([(axis.at(low), _HEIGHT / 2), (axis.at(high), _HEIGHT / 2)]))


def _svg(axis: Scale, drawn: Sequence[Markup], look: Look, *, zero: bool = False) -> Markup:
    at_zero = [element("path", class_="axis", d=line([(axis.at(0.0), 0.0), (axis.at(0.0), _HEIGHT)]))] if zero else []
    own = element("g", *drawn, class_=look_class(look), style=look_style(look))
    return element(
        "svg", *at_zero, own, class_="strip", viewBox=f"0 0 {number(_WIDTH)} {number(_HEIGHT)}", aria_hidden="true"
    )


def _axis(axis: Scale) -> Markup:
    made = [element("path", class_="axis", d=line([(axis.start, _AXIS_HEIGHT - 1), (axis.end, _AXIS_HEIGHT - 1)]))]
    for value in axis.ticks(_TICKS):
        place = axis.at(value)
        made += [
            element("path", class_="axis", d=line([(place, _AXIS_HEIGHT - 5), (place, _AXIS_HEIGHT)])),
            element("text", f"{value:g}", class_="tick", x=place, y=12.0, text_anchor="middle"),
        ]
    return element(
        "svg", *made, class_="strip", viewBox=f"0 0 {number(_WIDTH)} {number(_AXIS_HEIGHT)}", aria_hidden="true"
    )
