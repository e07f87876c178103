"""`index.html`: one suite's page of the site, for a folder that is looked at by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedgen_bench import NoParams, TableFormatSpec, hookimpl

if TYPE_CHECKING:
    from fedgen_bench.authors.tables import Table


class Page:
    """The table, its drawings and what models generate, as one page without runs and claims."""

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def render(self, table: Table) -> str:
        from fedgen_bench.authors.tables import page_of

        return page_of(table)


@hookimpl
def register_table_formats() -> list[TableFormatSpec]:
    summary = "The table with its drawings, as a page for browsers."
    return [TableFormatSpec(name="html", summary=summary, build=Page, filename="index.html", on_request=True)]
