"""The leaderboard as a page has it: columns that matter first, others to pick, rows by what they are ranked within."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from markupsafe import Markup

from fedgen_bench.base.digits import decimals_of, show, show_bytes, show_in, show_percent
from fedgen_bench.base.looks import Look
from fedgen_bench.results.table import Table
from fedgen_bench.site.svg import swatch

REFERENCES = "Reference rows"
_OWN_FIGURES = ("global/", "kept/", "personalized/", "personalized_unseen/")


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column: what heads it, what that means, and whether it is shown at first."""

    key: str
    label: str
    told: str
    shown: bool
    text: bool = False


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What stands in a cell, what it is sorted by (empty: last), and whether it is the best of its rows."""

    text: str
    value: str = ""
    best: bool = False


@dataclass(frozen=True, kw_only=True)
class GridRow:
    """A contender's row."""

    contender: str
    anchor: str
    swatch: Markup
    cells: tuple[Cell, ...]


@dataclass(frozen=True, kw_only=True)
class Group:
    """Rows that are ranked together; the title is empty where there is one ranking."""

    title: str
    rows: tuple[GridRow, ...]
    references: bool = False


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The whole table."""

    columns: tuple[Column, ...]
    groups: tuple[Group, ...]


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """A column with how a row fills it; `lower` says where lower is better, None where nothing is."""

    column: Column
    value: Callable[[Mapping[str, Any]], float | str | None]
    told: Callable[[Mapping[str, Any]], str]
    lower: bool | None = None


def anchor_of(contender: str) -> str:
    """The contender's name as the end of an address."""
    return "run-" + "".join(char if char.isalnum() or char in "_-." else "-" for char in contender)


def grid_of(table: Table, looked: Mapping[str, Look]) -> Grid:
    """The table's rows by group, ranked ones first."""
    kinds = _kinds(table)
    groups = []
    for title, rows in _grouped(table).items():
        best = {} if title == REFERENCES else {kind.column.key: _best(kind, rows) for kind in kinds}
        made = tuple(
            GridRow(
                contender=row["contender"],
                anchor=anchor_of(row["contender"]),
                swatch=swatch(looked[row["contender"]]),
                cells=tuple(_cell(kind, row, best.get(kind.column.key)) for kind in kinds),
            )
            for row in rows
        )
        groups.append(Group(title=title, rows=made, references=title == REFERENCES))
    return Grid(columns=tuple(kind.column for kind in kinds), groups=tuple(groups))


def _grouped(table: Table) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in table.rows:
        title = REFERENCES if row["rank"] is None else table.among.get(row["contender"], "")
        found.setdefault(title, []).append(row)
    return dict(sorted(found.items(), key=lambda one: one[0] == REFERENCES))


def _best(kind: _Kind, rows: list[Mapping[str, Any]]) -> float | None:
    values = [value for row in rows if isinstance(value := kind.value(row), float | int)]
    return None if kind.lower is None or not values else (min if kind.lower else max)(values)


def _cell(kind: _Kind, row: Mapping[str, Any], best: float | None) -> Cell:
    value = kind.value(row)
    return Cell(text=kind.told(row), value="" if value is None else str(value), best=best is not None and value == best)


def _kinds(table: Table) -> list[_Kind]:
    unit, own, lower = table.metric_unit, table.own, table.lower_is_better
    personal = f"{own.unit} on clients' own held-out data after they went on training by themselves"

    def of(key: str, label: str, told: str, text: Callable[[Any], str], *, lower: bool | None, shown: bool) -> _Kind:
        column = Column(key=key, label=label, told=told, shown=shown)
        return _Kind(column=column, value=lambda row: row[key], told=lambda row: text(row[key]), lower=lower)

    unfinished = any(row["status"] != "done" for row in table.rows)
    return [
        of("rank", "Rank", "Shared where the seeds tell nobody apart.", _whole, lower=None, shown=True),
        _Kind(
            column=Column(key="quality_mean", label="Quality", told=f"{unit}, test, ± standard deviation", shown=True),
            value=lambda row: row["quality_mean"],
            told=_quality,
            lower=lower,
        ),
        _Kind(
            column=Column(key="interval", label="95 % interval", told="Of the mean over seeds.", shown=True),
            value=lambda row: row["quality_ci_low"],
            told=_interval,
        ),
        of("personalized_mean", "Personalised", personal, show, lower=own.lower_is_better, shown=True),
        of("rounds_to_target_mean", "Rounds to target", f"{table.followed.unit} of {table.target:g}, validation subset",
           lambda value: "–" if value is None else f"{value:.1f}", lower=True, shown=True),
        of("uplink_per_client_round_bytes", "Uplink a client-round", "Encoded messages, headers included.",
           show_bytes, lower=True, shown=True),
        of("uplink_reduction_vs_full", "Uplink saved", f"Against {table.full_model}.",
           show_percent, lower=False, shown=True),
        of("status", "Status", "Whether all seeds finished.", str, lower=None, shown=unfinished),
        of("worst_decile_mean", "Worst tenth", f"{personal}: the worst tenth of clients", show,
           lower=own.lower_is_better, shown=False),
        of("trainable_params", "Trainable", "Parameters that are trained.", _count, lower=None, shown=False),
        of("trainable_fraction", "Of the model", "Trainable parameters as a share.", show_percent, lower=None,
           shown=False),
        of("uplink_to_target_bytes", "Uplink to target", "All clients.", show_bytes, lower=True, shown=False),
        of("uplink_total_bytes", "Uplink", "The whole run, all clients.", show_bytes, lower=True, shown=False),
        of("downlink_total_bytes", "Downlink", "The whole run, all clients.", show_bytes, lower=True, shown=False),
        of("n_seeds", "Seeds", "Runs that finished.", str, lower=None, shown=False),
        *(
            of(one.key, one.label, one.told, partial(show_in, unit=one.unit), lower=one.lower_is_better, shown=False)
            for one in table.extras
        ),
        _named("strategy", "Strategy"),
        _named("adapter", "Adapter"),
        *_others(table),
    ]  # fmt: skip


def _named(key: str, label: str) -> _Kind:
    column = Column(key=key, label=label, told="", shown=False, text=True)
    return _Kind(column=column, value=lambda row: row[key], told=lambda row: row[key])


def _others(table: Table) -> list[_Kind]:
    """Every other metric of the whole, mean over seeds."""
    names = sorted({name for values in table.others.values() for name in values})
    whole = [
        name
        for name in names
        if name != f"test/{table.metric}" and (name.count("/") == 1 or name.startswith(_OWN_FIGURES))
    ]
    return [_other(table, name) for name in whole]


def _other(table: Table, name: str) -> _Kind:
    def value(row: Mapping[str, Any]) -> float | None:
        return table.others.get(row["contender"], {}).get(name)

    column = Column(key=name, label=name.replace("_", " "), told="Mean over seeds.", shown=False)
    return _Kind(column=column, value=value, told=lambda row: show(value(row)))


def _whole(value: int | None) -> str:
    return "–" if value is None else str(value)


def _count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _quality(row: Mapping[str, Any]) -> str:
    mean, std = row["quality_mean"], row["quality_std"]
    if mean is None:
        return "–"
    decimals = decimals_of(mean, std)
    return show(mean, decimals) + (f" ± {show(std, decimals)}" if std else "")


def _interval(row: Mapping[str, Any]) -> str:
    if row["quality_ci_low"] is None:
        return "–"
    decimals = decimals_of(row["quality_mean"], row["quality_std"])
    return f"{show(row['quality_ci_low'], decimals)} to {show(row['quality_ci_high'], decimals)}"
