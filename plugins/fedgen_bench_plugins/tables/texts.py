"""`samples.md`: what the contenders' global models write from the same draws, for tasks that give texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedgen_bench import NoParams, TableFormatSpec, hookimpl
from fedgen_bench_plugins.tables.markdown import escape

if TYPE_CHECKING:
    from fedgen_bench.authors.tables import Table

_INDENT = "    "  # of a code block, which takes any text as it is


class Texts:
    """Every contender with the text of its first leaderboard seed, in the table's order."""

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def render(self, table: Table) -> str | None:
        """Markdown, or None for a table without texts."""
        if not table.samples:
            return None
        lines = [
            f"# {escape(table.title)}: samples",
            "",
            f"What the contenders' global models of seed {table.seeds[0]} write, from the same draws.",
        ]
        for name in (row["contender"] for row in table.rows if row["contender"] in table.samples):
            lines += ["", f"## {escape(name)}", "", *(_INDENT + line for line in table.samples[name].split("\n"))]
        return "\n".join(lines) + "\n"


@hookimpl
def register_table_formats() -> list[TableFormatSpec]:
    summary = "Text: what the contenders' models write."
    return [TableFormatSpec(name="texts", summary=summary, build=Texts, filename="samples.md")]
