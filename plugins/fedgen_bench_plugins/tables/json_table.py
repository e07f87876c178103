"""`table.json`: the table with its comparisons and curves, byte-stable."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import TYPE_CHECKING

from fedgen_bench import NoParams, TableFormatSpec, hookimpl

if TYPE_CHECKING:
    from fedgen_bench.authors.tables import Table


class JsonTable:
    """What the table holds, without what models generate; numbers that are not finite are null."""

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def render(self, table: Table) -> str:
        def plain(value: object) -> object:
            if isinstance(value, dict):
                return {str(key): plain(one) for key, one in value.items()}
            if isinstance(value, list | tuple):
                return [plain(one) for one in value]
            return None if isinstance(value, float) and not math.isfinite(value) else value

        body = dataclasses.asdict(table)
        del body["showcase"], body["samples"]
        for later in ("among", "reference_seeds", "elsewhere", "extras"):
            if not body[later]:
                del body[later]
        if not table.follows_another:
            del body["followed"]
        if table.own == table.followed:
            del body["own"]
        return json.dumps(plain(body), indent=1, sort_keys=True, allow_nan=False) + "\n"


@hookimpl
def register_table_formats() -> list[TableFormatSpec]:
    return [
        TableFormatSpec(
            name="json", summary="The table with comparisons and curves.", build=JsonTable, filename="table.json"
        )
    ]
