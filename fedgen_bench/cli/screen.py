"""Tables on stdout: a narrow one for terminals, CSV-like columns when piped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from fedgen_bench.text import one_line

if TYPE_CHECKING:
    from fedgen_bench.leaderboard import Table


def grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Left-aligned columns, two spaces apart; a cell is one line, without control characters."""
    table = [[one_line(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def human_bytes(value: float | None) -> str:
    """Decimal units, three significant digits."""
    if value is None:
        return ""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f} B"


def _number(value: float | None, form: str = ".4g") -> str:
    return "" if value is None else format(value, form)


def print_table(table: Table) -> None:
    """The leaderboard's main columns on stdout."""
    click.echo(
        f"{one_line(table.title)}: suite {table.suite}, version {table.version}; "
        f"{one_line(table.metric_unit)} on test, {'lower' if table.lower_is_better else 'higher'} is better"
        + (f"; personalised in {one_line(table.followed.unit)}" if table.follows_another else "")
    )
    head = (
        "rank",
        "contender",
        "quality",
        "+-",
        "personalised",
        "trainable",
        "uplink",
        "per client-round",
        "saved",
        "status",
    )
    rows = [
        (
            "-" if row["rank"] is None else str(row["rank"]),
            row["contender"],
            _number(row["quality_mean"]),
            _number(row["quality_std"], ".2g"),
            _number(row["personalized_mean"]),
            _number(row["trainable_fraction"], ".2%"),
            human_bytes(row["uplink_total_bytes"]),
            human_bytes(row["uplink_per_client_round_bytes"]),
            _number(row["uplink_reduction_vs_full"], ".2%"),
            row["status"],
        )
        for row in table.rows
    ]
    click.echo(grid(head, rows))
