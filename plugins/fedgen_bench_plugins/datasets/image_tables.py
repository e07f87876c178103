"""Images in parquet files of the user's own: a column of encoded images, and columns of classes and clients."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fedgen_bench import DataError
from fedgen_bench_plugins.datasets.tables import check_columns, unreadable

_ROWS_AT_ONCE = 256


def read_beside(path: Path, image: str, names: Collection[str]) -> tuple[int, Mapping[str, Sequence[str | None]]]:
    """How many rows a file has, and columns beside that of the images, as text; None where a row holds nothing.

    Raises:
        DataError: the file cannot be read, lacks a column, or that of the images holds something else.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyarrow import types

    try:
        schema = pq.read_schema(path)
        check_columns(path, (image, *names), schema.names)
        kind = schema.field(image).type
        if not any(is_one(_encoding(kind)) for is_one in (types.is_binary, types.is_large_binary)):
            raise DataError(
                f"{path} has a column `{image}` of {kind}. It must hold encoded images, or {{bytes, path}}."
            )
        table = pq.read_table(path, columns=list(names))
        return pq.read_metadata(path).num_rows, {
            name: table.column(name).cast(pa.string()).to_pylist() for name in names
        }
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from None


def _encoding(kind: Any) -> Any:
    """The type of the encoded images in a column: its own, or that of its field `bytes`."""
    from pyarrow import types

    at = kind.get_field_index("bytes") if types.is_struct(kind) else -1
    return kind[at].type if at >= 0 else kind


def encoded(paths: Sequence[Path], image: str) -> Iterator[bytes | None]:
    """Encoded images of some files, read a few rows at a time; None where a row holds none.

    Raises:
        DataError: a file cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    for path in paths:
        try:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(_ROWS_AT_ONCE, columns=[image]):
                    for one in batch.column(0).to_pylist():
                        yield one["bytes"] if isinstance(one, dict) else one
        except (pa.ArrowException, OSError) as error:
            raise unreadable(path, error) from None


def class_names(path: Path, label: str) -> Mapping[str, str]:
    """Names of numbered classes, by the number as text, as `datasets` writes them beside the schema; none elsewhere."""
    import pyarrow.parquet as pq

    try:
        written = json.loads((pq.read_schema(path).metadata or {})[b"huggingface"])
        names = written["info"]["features"][label]["names"]
        return {str(i): str(name) for i, name in enumerate(names)}
    except (KeyError, TypeError, ValueError, RecursionError):
        return {}
