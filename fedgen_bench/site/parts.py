"""Metrics by part as shaded tables: contenders by parts, such as classes."""

from __future__ import annotations

from dataclasses import dataclass

from fedgen_bench.base.digits import show
from fedgen_bench.results.table import Table

_SPLITS = {"test", "valid"}


@dataclass(frozen=True)
class Tile:
    """A figure, and how dark it is shaded: 0 for the best of its part, 1 for the worst; None without a figure."""

    text: str
    shade: float | None


@dataclass(frozen=True, kw_only=True)
class HeatMap:
    """Contenders by the parts of one metric on one split."""

    metric: str
    split: str
    parts: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Tile, ...]], ...]


def heat_maps(table: Table) -> list[HeatMap]:
    """One for every metric that has parts, test first; low values count as best where the ranking metric's do."""
    found: dict[tuple[str, str], set[str]] = {}
    for key in {key for values in table.others.values() for key in values}:
        split, _, rest = key.partition("/")
        metric, _, part = rest.partition("/")
        if split in _SPLITS and part:
            found.setdefault((metric, split), set()).add(part)
    return [_heat_map(table, metric, split, sorted(parts)) for (metric, split), parts in sorted(found.items())]


def _heat_map(table: Table, metric: str, split: str, parts: list[str]) -> HeatMap:
    columns = [[_figure(table, row["contender"], f"{split}/{metric}/{part}") for row in table.rows] for part in parts]
    tiles = [_tiles(column, lower=table.lower_is_better) for column in columns]
    rows = tuple(
        (row["contender"], tuple(column[i] for column in tiles))
        for i, row in enumerate(table.rows)
        if any(column[i].shade is not None for column in tiles)
    )
    return HeatMap(metric=metric, split=split, parts=tuple(parts), rows=rows)


def _figure(table: Table, contender: str, key: str) -> float | None:
    return table.others.get(contender, {}).get(key)


def _tiles(column: list[float | None], *, lower: bool) -> list[Tile]:
    known = [value for value in column if value is not None]
    low, high = (min(known), max(known)) if known else (0.0, 0.0)

    def shade(value: float) -> float:
        from_low = (value - low) / (high - low) if high > low else 0.0
        return round(from_low if lower else 1 - from_low, 2)

    return [Tile(show(value), None if value is None else shade(value)) for value in column]
