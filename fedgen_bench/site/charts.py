"""What of a table is drawn: curves over rounds, bytes and simulated time, and quality against uplink."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from fedgen_bench.base.digits import decimals_of, show, show_bytes
from fedgen_bench.base.looks import Look, looks, method_of
from fedgen_bench.results.record import Evaluated
from fedgen_bench.results.table import Curve, Table
from fedgen_bench.review.claims.clock import EdgeDevice
from fedgen_bench.site.drawing import Drawing, Line, Spot
from fedgen_bench.suite.personalization import OwnWay

if TYPE_CHECKING:
    from fedgen_bench.review.claims.findings import Chart

_CLOCK = "Time is that of the suite's devices."
_DEVICE = f"Time is simulated, on one device for all: {EdgeDevice()}; local steps cost every method the same."
_AFTER_THE_LAST_ROUND = frozenset(
    {"evaluation.personalized_steps"} | {f"personalization.{one}" for one in OwnWay.model_fields}
)
_BAND = "Lines are means over seeds, bands reach from the lowest seed to the highest"


def byte_tick(value: float) -> str:
    """Bytes as an axis has them: `200 kB`."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= size:
            return f"{value / size:g} {unit}"
    return f"{value:g} B"


def curves(table: Table, looked: Mapping[str, Look], elapsed: Mapping[str, Mapping[int, float]]) -> list[Drawing]:
    """The followed metric over rounds, over uplink and, where it is known how long a round takes, over time.

    Args:
        table: the leaderboard.
        looked: how contenders look.
        elapsed: simulated seconds by contender and number of rounds.
    """
    short = _short(one.contender for one in table.curves)
    followed = [one for one in table.curves if one.level is None]
    levels = [(short[one.contender], level) for one in table.curves if (level := one.level) is not None]

    def over(name: str, x_of: Callable[[Curve, Evaluated], float], told: Callable[[float], str]) -> tuple[Line, ...]:
        lines = (_curve(one, short[one.contender], looked[one.contender], x_of, told) for one in followed)
        return tuple(one for one in lines if any(name == "rounds" or spot.x > 0 for spot in one.spots))

    def drawing(
        title: str, x_label: str, lines: tuple[Line, ...], note: str, *, tick: Callable[[float], str] | None = None
    ) -> Drawing:
        means = [spot.y for one in lines for spot in one.spots]
        return Drawing(
            title=title,
            note=note + _points_of(table),
            x_label=x_label,
            y_label=f"{table.followed.unit} (validation subset)",
            lines=lines,
            levels=(*levels, (f"target {table.target:g}", table.target)),
            log_x=tick is not None,
            log_y=bool(means) and min(means) > 0 and max(means) > 2 * min(means),
            whole=tick is None,
            x_tick=tick or (lambda value: f"{value:g}"),
        )

    made = [
        drawing(
            "Over rounds", "round", over("rounds", lambda _, point: point.n_rounds, lambda x: f"round {x:g}"),
            f"{_BAND}; dashed are reference rows, dotted is the target{' and what nobody trains' if levels else ''}.",
        ),
        drawing(
            "Over bytes", "uplink so far, all clients", over("bytes", lambda _, point: point.uplink_bytes, show_bytes),
            f"{_BAND}. Rows that send nothing are left out{' or dotted' if levels else ''}.", tick=byte_tick,
        ),
    ]  # fmt: skip
    if elapsed:
        timed = over(
            "seconds",
            lambda curve, point: elapsed.get(curve.contender, {}).get(point.n_rounds, 0.0),
            lambda x: f"{x:,.0f} s",
        )
        made.append(
            drawing(
                "Over simulated time", "simulated seconds so far", timed,
                f"{_BAND}. {_CLOCK if 'devices' in table.setup else _DEVICE}",
                tick=lambda value: f"{value:,.0f}",
            )
        )  # fmt: skip
    return [one for one in made if one.lines]


def _curve(
    curve: Curve, name: str, look: Look, x_of: Callable[[Curve, Evaluated], float], told: Callable[[float], str]
) -> Line:
    """Means and ranges over the rounds that every seed has."""
    spots = []
    for together in zip(*curve.by_seed.values(), strict=False):
        values = [one.value for one in together]
        x = sum(x_of(curve, one) for one in together) / len(together)
        mean = sum(values) / len(values)
        between = f", {show(min(values))} to {show(max(values))}" if len(values) > 1 else ""
        spots.append(Spot(x, mean, min(values), max(values), f"{show(mean)}{between}, {told(x)}"))
    return Line(name, look, tuple(spots), dashed=not curve.ranked)


def _short(names: Iterable[str]) -> dict[str, str]:
    """What drawings call contenders: points of the only contender that is swept by the point alone."""
    listed = list(names)
    swept = {method_of(name) for name in listed if "@" in name}
    return {name: name.partition("@")[2] if "@" in name and len(swept) == 1 else name for name in listed}


def _points_of(table: Table) -> str:
    """A sentence on names that are points alone; empty where there are none."""
    short = _short(row["contender"] for row in table.rows)
    whose = {method_of(name) for name, called in short.items() if called != name}
    return f" Points of the axis are those of {', '.join(sorted(whose))}." if whose else ""


def quality_against_uplink(table: Table, looked: Mapping[str, Look]) -> Drawing | None:
    """Test quality against all uplink, with intervals and the frontier; rows without uplink are levels.

    None where there is nothing to draw, or ranks hold at a sweep's points alone: no frontier goes through several.
    """
    lines, levels, short = [], [], _short(row["contender"] for row in table.rows)
    for row in table.rows:
        mean, sent, name = row["quality_mean"], row["uplink_total_bytes"], row["contender"]
        if mean is None:
            continue
        if not sent:
            levels.append((name, mean))
            continue
        low, high = (mean if row[f"quality_ci_{end}"] is None else row[f"quality_ci_{end}"] for end in ("low", "high"))
        decimals = decimals_of(mean, row["quality_std"])
        told = f"{show(mean, decimals)} ({show(low, decimals)} to {show(high, decimals)}), {show_bytes(sent)}"
        lines.append(Line(short[name], looked[name], (Spot(sent, mean, low, high, told),)))
    if not lines or table.among:
        return None
    better = "lower" if table.lower_is_better else "higher"
    return Drawing(
        title="Quality against uplink",
        note=(
            f"Test quality after the last round, {better} is better; bars are 95 % intervals of the mean over seeds. "
            "The stair is the frontier: the best quality for so many bytes. Horizontal lines are rows that send "
            f"nothing.{_points_of(table)}"
        ),
        x_label="uplink of the whole run, all clients",
        y_label=f"{table.metric_unit} (test)",
        lines=tuple(lines),
        levels=tuple(levels),
        log_x=True,
        x_tick=byte_tick,
        frontier=table.lower_is_better,
        joined=False,
    )


def quality_over_axis(table: Table) -> Drawing | None:
    """Test quality at every point of an ablation, with intervals; rows that are not swept are levels.

    None of an ablation of what clients do after the last round, which leaves the global model as it is.
    """
    sweep = table.setup.get("sweep")
    if sweep is None or {path for point in sweep["point"] for path in point["set"]} <= _AFTER_THE_LAST_ROUND:
        return None
    values = {f"@{sweep['axis']}={point['value']:g}": point["value"] for point in sweep["point"]}
    spots: dict[str, dict[float, Spot]] = {}
    levels = []
    for row in table.rows:
        mean, name = row["quality_mean"], row["contender"]
        low, high = (mean if row[f"quality_ci_{end}"] is None else row[f"quality_ci_{end}"] for end in ("low", "high"))
        value = values.get(name.removeprefix(method_of(name)))
        if mean is not None and value is not None:
            told = f"{show(mean)} ({show(low)} to {show(high)}) at {sweep['axis']} {value:g}"
            spots.setdefault(method_of(name), {})[value] = Spot(value, mean, low, high, told)
        elif mean is not None:
            levels.append((name, mean))
    means = [spot.y for found in spots.values() for spot in found.values()]
    if not means:
        return None
    by_method = looks(spots)
    return Drawing(
        title=f"Quality over {sweep['axis']}",
        note=(
            "Test quality after the last round, mean over seeds; bands are its 95 % intervals. Horizontal lines are "
            "rows that are not swept."
        ),
        x_label=sweep["axis"],
        y_label=f"{table.metric_unit} (test)",
        lines=tuple(
            Line(name, by_method[name], tuple(found[value] for value in sorted(found))) for name, found in spots.items()
        ),
        levels=tuple(levels),
        log_x=min(values.values()) > 0,
        log_y=min(means) > 0 and max(means) > 2 * min(means),
    )


def of_claim(chart: Chart, looked: Mapping[str, Look]) -> Drawing:
    """A chart of the claims in the page's colours."""
    lines = tuple(
        Line(name, looked[name], tuple(Spot(p.x, p.mean, p.low, p.high, f"{show(p.mean)} at {p.x:g}") for p in points))
        for name, points in chart.series
        if points
    )
    in_bytes = "bytes" in chart.x_label
    return Drawing(
        title=chart.title,
        note=f"{_BAND}.",
        x_label=chart.x_label.replace(" (bytes)", ""),
        y_label=chart.y_label,
        lines=lines,
        log_x=chart.log_x,
        whole=_whole(chart) and not chart.log_x,
        x_tick=byte_tick if in_bytes else (lambda value: f"{value:g}"),
    )


def _whole(chart: Chart) -> bool:
    places: Sequence[float] = [p.x for _, points in chart.series for p in points]
    return all(place == int(place) for place in places)
