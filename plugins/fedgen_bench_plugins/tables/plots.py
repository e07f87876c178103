"""`frontier.svg`: quality against what was sent for it; `convergence.svg`, `quality_vs_uplink.svg`: how rounds went."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fedgen_bench import NoParams, TableFormatSpec, hookimpl
from fedgen_bench.authors.axes import (
    MARKERS,
    RANGES,
    End,
    bytes_along,
    framed,
    name_ends,
    plain,
    saved,
    spread_out,
    titled,
    trimmed,
)
from fedgen_bench.authors.looks import looks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fedgen_bench.authors.tables import Curve, Table

_SIZE = (8.0, 4.8)  # inches
_ROOM = 1.5  # left and right of the outermost points of the frontier, a factor


@dataclass(frozen=True)
class RoundRange:
    """One round of one contender, mean and range over its seeds."""

    rounds: int
    uplink_bytes: float
    mean: float
    low: float
    high: float


def points(curve: Curve) -> list[RoundRange]:
    """Rounds that every seed of the contender has."""
    seeds = list(curve.by_seed.values())
    if not seeds:
        return []
    found = []
    for together in zip(*seeds, strict=False):
        values = [value for _, value, _ in together]
        uplink = sum(up for _, _, up in together) / len(together)
        found.append(RoundRange(together[0][0], uplink, sum(values) / len(values), min(values), max(values)))
    return found


def _drawable(table: Table) -> list[tuple[Curve, list[RoundRange]]]:
    """Curves that have points, of contenders that rounds were followed of."""
    return [(curve, found) for curve in table.curves if curve.level is None and (found := points(curve))]


def _levels(table: Table) -> list[tuple[str, float]]:
    """Contenders that no round trains, with the one value that they have."""
    return [(curve.contender, level) for curve in table.curves if (level := curve.level) is not None]


@dataclass(frozen=True, kw_only=True)
class _Axis:
    """What the x axis holds."""

    of: Callable[[RoundRange], float]
    label: str
    in_bytes: bool = False


def _over(table: Table, axis: _Axis, what: str, file_format: str) -> bytes:
    """Every drawable curve: contenders solid, reference rows dashed, the range over seeds shaded."""
    looked = looks(row["contender"] for row in table.rows)
    with framed(*_SIZE) as (figure, axes):
        drawn: list[float] = []
        ends: list[End] = []
        for curve, everything in _drawable(table):
            found = [one for one in everything if axis.of(one) > 0]
            if not found:
                continue
            look = looked[curve.contender]
            x, color = [axis.of(one) for one in found], look.on_white
            style: dict[str, Any] = {"color": color, "marker": MARKERS[look.marker], "markersize": 4}
            style |= {} if curve.ranked else {"linestyle": "--", "linewidth": 1.0}
            axes.plot(x, [one.mean for one in found], **style)
            axes.fill_between(x, [one.low for one in found], [one.high for one in found], color=color, alpha=0.15, lw=0)
            drawn += [one.mean for one in found]
            ends.append(End(curve.contender, x[-1], found[-1].mean, color))
        spread_out(axes, drawn)
        _along(axes, axis, drawn)
        axes.axhline(table.target, color="0.6", linewidth=0.8, linestyle=":")
        for name, level in _levels(table):
            color = looked[name].on_white
            axes.axhline(level, color=color, linewidth=1.0, linestyle="--")
            ends.append(End(name, axes.get_xlim()[1], level, color))
        name_ends(axes, [*ends, End(f"target {table.target:g}", axes.get_xlim()[1], table.target, "0.4")])
        axes.set_xlabel(axis.label)
        axes.set_ylabel(f"{plain(table.followed.unit)} (validation subset)")
        titled(figure, axes, f"{table.title}: {what}", f"{RANGES}; dashed: reference rows")
        return saved(figure, f"{table.title}: {what}", file_format)


def _along(axes: Axes, axis: _Axis, drawn: list[float]) -> None:
    """Whole rounds, or bytes."""
    from matplotlib.ticker import MaxNLocator

    if not axis.in_bytes:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    elif drawn:
        bytes_along(axes)


class Convergence:
    """The metric over rounds."""

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def render(self, table: Table) -> str:
        return trimmed(self.picture(table, "svg"))

    def picture(self, table: Table, file_format: str) -> bytes:
        return _over(table, _Axis(of=lambda point: point.rounds, label="round"), "convergence", file_format)


class QualityVsUplink:
    """The metric over the uplink bytes spent so far by all clients together; rows that send nothing are left out."""

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def render(self, table: Table) -> str:
        return trimmed(self.picture(table, "svg"))

    def picture(self, table: Table, file_format: str) -> bytes:
        axis = _Axis(of=lambda point: point.uplink_bytes, label="uplink so far, all clients", in_bytes=True)
        return _over(table, axis, "quality against uplink", file_format)


@dataclass(frozen=True)
class Sent:
    """A contender that sends: its uplink, its quality on test, and the interval of that."""

    name: str
    uplink_bytes: float
    mean: float
    low: float
    high: float


class Frontier:
    """Quality on test against the uplink of the whole run, and the best quality that so many bytes bring.

    Rows that send nothing are levels. Where ranks hold at a sweep's points alone, there is no frontier through all.
    """

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def render(self, table: Table) -> str:
        return trimmed(self.picture(table, "svg"))

    def picture(self, table: Table, file_format: str) -> bytes:
        looked = looks(row["contender"] for row in table.rows)
        rows = [row for row in table.rows if row["quality_mean"] is not None]
        sent = [_sent(row) for row in rows if row["uplink_total_bytes"]]
        levels = [(row["contender"], row["quality_mean"]) for row in rows if not row["uplink_total_bytes"]]
        with framed(*_SIZE) as (figure, axes):
            for one in sent:
                look = looked[one.name]
                axes.errorbar(
                    one.uplink_bytes, one.mean, [[one.mean - one.low], [one.high - one.mean]], color=look.on_white,
                    marker=MARKERS[look.marker], markersize=6, capsize=3, linestyle="none",
                )  # fmt: skip
            spread_out(axes, [value for one in sent for value in (one.low, one.high)])
            if sent:
                bytes_along(axes)
                places = [one.uplink_bytes for one in sent]
                axes.set_xlim(min(places) / _ROOM, max(places) * _ROOM)
                if not table.among:
                    _draw_stair(axes, best(sent, lower_is_better=table.lower_is_better))
            ends = [End(one.name, one.uplink_bytes, one.mean, looked[one.name].on_white) for one in sent]
            for name, level in levels:
                color = looked[name].on_white
                axes.axhline(level, color=color, linewidth=1.0, linestyle="--")
                ends.append(End(name, axes.get_xlim()[1], level, color))
            name_ends(axes, ends)
            axes.set_xlabel("uplink of the whole run, all clients")
            axes.set_ylabel(f"{plain(table.metric_unit)} (test), {_better(table)} is better")
            titled(figure, axes, table.title, _legend(table))
            return saved(figure, f"{table.title}: quality for what was sent", file_format)


def _legend(table: Table) -> str:
    stair = "" if table.among else "stair: the best for so many bytes; "
    return f"bars: 95 % intervals of the mean; {stair}dashed: no uplink"


def _better(table: Table) -> str:
    return "lower" if table.lower_is_better else "higher"


def _draw_stair(axes: Axes, frontier: list[Sent]) -> None:
    x, y = [one.uplink_bytes for one in frontier], [one.mean for one in frontier]
    axes.step([*x, axes.get_xlim()[1]], [*y, y[-1]], where="post", color="0.7", linewidth=1.2, zorder=0)


def _sent(row: Any) -> Sent:
    mean = row["quality_mean"]
    low, high = (mean if row[f"quality_ci_{end}"] is None else row[f"quality_ci_{end}"] for end in ("low", "high"))
    return Sent(row["contender"], row["uplink_total_bytes"], mean, low, high)


def best(sent: list[Sent], *, lower_is_better: bool) -> list[Sent]:
    """Those that no other with as little uplink beats, by uplink."""
    found: list[Sent] = []
    for one in sorted(sent, key=lambda one: (one.uplink_bytes, one.mean if lower_is_better else -one.mean)):
        if not found or (one.mean < found[-1].mean if lower_is_better else one.mean > found[-1].mean):
            found.append(one)
    return found


_PLOTS = (
    ("frontier", "Plot: quality on test against uplink bytes, with the frontier.", Frontier),
    ("convergence", "Plot: the metric over rounds.", Convergence),
    ("quality_vs_uplink", "Plot: the metric over uplink bytes.", QualityVsUplink),
)


@hookimpl
def register_table_formats() -> list[TableFormatSpec]:
    return [
        TableFormatSpec(
            name=name, summary=summary, build=build, filename=f"{name}.svg", exact=False,
            libraries=("matplotlib.figure",),
        )
        for name, summary, build in _PLOTS
    ]  # fmt: skip
