"""`table.csv`: every column at full precision, byte-stable, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from fedgen_bench import NoParams, TableFormatSpec, hookimpl, one_line

if TYPE_CHECKING:
    from fedgen_bench.authors.tables import Table

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def cell(value: Any) -> str:
    """Numbers as Python writes them; text that a spreadsheet would run as a formula gets a quote in front."""
    if value is None:
        return ""
    if isinstance(value, str):  # one line: Python's csv leaves a bare carriage return unquoted
        return one_line("'" + value if value.startswith(_FORMULA_STARTS) else value)
    return repr(value) if isinstance(value, float) else str(value)


class CsvTable:
    """Comma-separated values with a header line."""

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def render(self, table: Table) -> str:
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(table.columns)
        writer.writerows([cell(row[column]) for column in table.columns] for row in table.rows)
        return out.getvalue()


@hookimpl
def register_table_formats() -> list[TableFormatSpec]:
    return [
        TableFormatSpec(name="csv", summary="Every column at full precision.", build=CsvTable, filename="table.csv")
    ]
