"""Named columns of a user's own tables, as text: parquet, JSON lines, CSV. Each row of a table is a document."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedgen_bench import DataError
from fedgen_bench_plugins.datasets.text_files import text_lines

_LARGEST_BLOCK = 1 << 30
_HALF = re.compile("[\ud800-\udfff]")  # JSON can spell half of a character that takes two code units


@dataclass(frozen=True)
class Columns:
    """The columns of some rows.

    Args:
        values: by name, the text of every row; None where the table holds nothing.
        rows: what messages call each row.
    """

    values: Mapping[str, Sequence[str | None]]
    rows: Sequence[str]


def read_columns(path: Path, names: Collection[str]) -> Columns:
    """Columns of a table of a format in `FORMATS`.

    Raises:
        DataError: the file cannot be read, or lacks a column.
    """
    return FORMATS[path.suffix.lower()](path, names)


def check_columns(path: Path, names: Collection[str], known: Collection[str], where: str = "") -> None:
    """Raises DataError for columns that are not there, or there several times."""
    if missing := [name for name in names if name not in known]:
        named = " and ".join(f"`{name}`" for name in missing)
        listed = f"its columns are {', '.join(map(str, known))}" if known else "it has no column"
        raise DataError(f"{path}{where} has no column {named}: {listed}. Name the right ones in [task.params.source].")
    counts = Counter(list(known))
    if several := [name for name in names if counts[name] > 1]:
        raise DataError(f"{path}{where} has {counts[several[0]]} columns `{several[0]}`. Give each a name of its own.")


def unreadable(path: Path, error: Exception) -> DataError:
    """The error for a parquet file whose reader raises one."""
    return DataError(f"{path} cannot be read as parquet ({_first_line(error)}). Replace the file.")


def _json_lines(path: Path, names: Collection[str]) -> Columns:
    values: dict[str, list[str | None]] = {name: [] for name in names}
    rows = []
    for number, line in enumerate(text_lines(path), start=1):
        if not line.strip():
            continue
        row, where = _object(line, path, number), f", line {number},"
        check_columns(path, names, row, where)
        for name in names:
            values[name].append(_text(row[name], path, where, name))
        rows.append(f"line {number}")
    return Columns(values, rows)


def _object(line: str, path: Path, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}, line {number}, is no JSON ({error}). Write one object a line.") from None
    if not isinstance(row, dict):
        raise DataError(f"{path}, line {number}, is no JSON object. Write one object a line.")
    return row


def _text(value: Any, path: Path, where: str, name: str) -> str | None:
    if isinstance(value, str) and _HALF.search(value):
        raise DataError(f"{path}{where} holds half a character (\\ud800 to \\udfff) in column `{name}`. Mend it.")
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return str(value)
    raise DataError(f"{path}{where} holds a {type(value).__name__} in column `{name}`. Write text there.")


def _csv(path: Path, names: Collection[str]) -> Columns:
    import pyarrow as pa
    from pyarrow import csv

    block = min(path.stat().st_size + 1, _LARGEST_BLOCK)  # a row must lie within one
    form: dict[str, Any] = {
        "read_options": csv.ReadOptions(use_threads=False, block_size=block),
        "parse_options": csv.ParseOptions(
            delimiter="\t" if path.suffix.lower() == ".tsv" else ",", newlines_in_values=True
        ),
    }
    try:
        with csv.open_csv(path, **form) as opened:
            known = opened.schema.names
        check_columns(path, names, known)
        as_text = csv.ConvertOptions(
            include_columns=list(names), column_types=dict.fromkeys(names, pa.large_string()), strings_can_be_null=False
        )
        table = csv.read_csv(path, convert_options=as_text, **form)
    except (pa.ArrowException, OSError) as error:
        for _ in text_lines(path):  # a line that is no UTF-8 is told as such
            pass
        raise DataError(
            f"{path} cannot be read as CSV ({_first_line(error)}). It begins with a row of names; text with a comma, "
            "quote or line end in it stands in double quotes."
        ) from None
    return _of_arrow(table, names)


def _parquet(path: Path, names: Collection[str]) -> Columns:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyarrow import types

    try:
        schema = pq.read_schema(path)
        check_columns(path, names, schema.names)
        for name in names:
            kind = schema.field(name).type
            if not (_is_text(kind) or types.is_integer(kind) or types.is_floating(kind)):
                raise DataError(f"{path} has a column `{name}` of {kind}. It must hold text.")
        return _of_arrow(pq.read_table(path, columns=list(names)), names)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from None


def _of_arrow(table: Any, names: Collection[str]) -> Columns:
    import pyarrow as pa

    values = {name: table.column(name).cast(pa.large_string()).to_pylist() for name in names}
    return Columns(values, [f"row {i}" for i in range(1, table.num_rows + 1)])


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    own = kind.value_type if types.is_dictionary(kind) else kind
    return bool(types.is_string(own) or types.is_large_string(own) or types.is_null(own))


def _first_line(error: Exception) -> str:
    """What an error says, on one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


FORMATS: Mapping[str, Callable[[Path, Collection[str]], Columns]] = {
    ".jsonl": _json_lines,
    ".parquet": _parquet,
    ".csv": _csv,
    ".tsv": _csv,
}
