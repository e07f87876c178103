"""What a published folder holds that its records alone give: results, bands and every table, by file name."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from fedgen_bench.base.safe_text import printable
from fedgen_bench.contract.params import make_params
from fedgen_bench.results.bands import bands_csv
from fedgen_bench.results.files import BANDS, RESULTS, table_names
from fedgen_bench.results.published.writing import results_text

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.results.record import Record
    from fedgen_bench.results.table import Table
    from fedgen_bench.suite.schema import SuiteSpec


def contents_of(
    table: Table,
    records: Sequence[Record],
    *,
    suite: SuiteSpec,
    suite_text: str,
    registry: Registry,
    but: Collection[str] = (),
) -> dict[str, bytes | None]:
    """Every file's bytes, None where the table gives no such file.

    Args:
        table: of the records, as `build_table` makes it.
        records: all that are published.
        suite: whose runs they are.
        suite_text: what it was read from.
        registry: whose table formats are written.
        but: names of tables that are left out.
    """
    return {
        RESULTS: results_text(suite, suite_text, records).encode(),
        BANDS: bands_csv(records).encode(),
        **table_files(table, registry, table_names(registry) - set(but)),
    }


def table_files(table: Table, registry: Registry, names: Collection[str]) -> dict[str, bytes | None]:
    """What the table formats that write files of these names give, by name; None where the table gives no such file.

    Texts are made printable, whatever names and titles hold.
    """
    files: dict[str, bytes | None] = {}
    for _, registered in sorted(registry.components["table_format"].items()):
        if registered.spec.filename in names:
            params, _ = make_params(registered.spec.params, {})
            content = registered.spec.build(params).render(table)
            text = isinstance(content, str)
            files[registered.spec.filename] = printable(content, keep="\n").encode() if text else content
    return files
