"""Tables on stdout: a narrow one for terminals, CSV-like columns when piped."""

from __future__ import annotations

import itertools
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from fedgen_bench.base.digits import decimals_of, show, show_bytes, show_percent
from fedgen_bench.base.safe_text import one_line

if TYPE_CHECKING:
    from fedgen_bench.results.table import Table

_NARROWEST = 12


def grid(head: Sequence[str], rows: Iterable[Sequence[str]], room: int | None = None) -> str:
    """Left-aligned columns, two spaces apart; a cell is one line, without control characters.

    With `room` characters a line the widest columns are wrapped into it.
    """
    table = [[one_line(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(head))]
    if room is not None:
        words = [max(len(word) for row in table for word in (*row[i].split(), "")) for i in range(len(head))]
        for least in (words, [_NARROWEST] * len(head)):
            widths = _narrowed(widths, [max(one, len(name)) for one, name in zip(least, head, strict=True)], room)
    first, *rest = (_lines(row, widths) for row in table)
    return "\n".join([*first, "  ".join("-" * width for width in widths), *(line for row in rest for line in row)])


def _narrowed(widths: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """Column widths that fit, as far as that goes: again and again the widest one that may gives way."""
    narrowed = list(widths)
    while sum(narrowed) + 2 * (len(narrowed) - 1) > room:
        able = [i for i, width in enumerate(narrowed) if width > least[i]]
        if not able:
            break
        narrowed[max(able, key=lambda i: narrowed[i])] -= 1
    return narrowed


def _lines(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """A row of the table, on as many lines as its cells need."""
    cells = [
        [cell] if len(cell) <= width else textwrap.wrap(cell, width, break_on_hyphens=False)
        for cell, width in zip(row, widths, strict=True)
    ]
    return [
        "  ".join(one.ljust(width) for one, width in zip(line, widths, strict=True)).rstrip()
        for line in itertools.zip_longest(*cells, fillvalue="")
    ]


def print_grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table on stdout: as wide as the terminal, or with one line a row where there is none."""
    click.echo(grid(head, rows, shutil.get_terminal_size().columns if sys.stdout.isatty() else None))


def print_table(table: Table) -> None:
    """The leaderboard's main columns on stdout."""
    click.echo(
        f"{one_line(table.title)}: suite {table.suite}, version {table.version}; "
        f"{one_line(table.metric_unit)} on test, {'lower' if table.lower_is_better else 'higher'} is better"
        + (f"; personalised in {one_line(table.own.unit)}" if table.reports_another else "")
    )
    head: tuple[str, ...] = (
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
    rows: list[tuple[str, ...]] = [
        (
            "-" if row["rank"] is None else str(row["rank"]),
            row["contender"],
            *_quality(row),
            show(row["personalized_mean"], nothing=""),
            show_percent(row["trainable_fraction"], nothing=""),
            show_bytes(row["uplink_total_bytes"], nothing=""),
            show_bytes(row["uplink_per_client_round_bytes"], nothing=""),
            show_percent(row["uplink_reduction_vs_full"], nothing=""),
            row["status"],
        )
        for row in table.rows
    ]
    if table.among:
        head = ("rank", "within", *head[1:])
        rows = [(one[0], table.among.get(one[1], ""), *one[1:]) for one in rows]
    print_grid(head, rows)


def _quality(row: Mapping[str, Any]) -> tuple[str, str]:
    """Mean and standard deviation to the same decimals."""
    mean, std = row["quality_mean"], row["quality_std"]
    if mean is None:
        return "", ""
    decimals = decimals_of(mean, std)
    return show(mean, decimals), show(std, decimals if std else None, nothing="")
