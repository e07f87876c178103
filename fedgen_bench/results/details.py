"""What stands behind a published row, as Parquet: every booked message, every figure of every round and client."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, get_type_hints

from fedgen_bench.base.errors import StoreError
from fedgen_bench.base.files import present
from fedgen_bench.results.files import LEDGER, METRICS

if TYPE_CHECKING:
    import pyarrow as pa

    from fedgen_bench.contract.reports import RoundReport
    from fedgen_bench.results.store import StoredRun

NOBODY = -1  # round_index of what was measured after the last round, client_id of what concerns no single client
_MOST_BYTES, _MOST_ROWS, _MOST_TEXT = 256 << 20, 2_000_000, 200
_AGAIN = "Restore it from its commit, or publish the folder again."


class MessageRow(NamedTuple):
    """A row of `ledger.parquet`: one booked message."""

    contender: str
    seed: int
    digest: str
    round_index: int
    client_id: int
    direction: str
    phase: str
    encoded_bytes: int
    tensor_bytes: int
    header_bytes: int


class FigureRow(NamedTuple):
    """A row of `metrics.parquet`: one figure of a round, a client or a run."""

    contender: str
    seed: int
    digest: str
    round_index: int
    client_id: int
    name: str
    value: float


Detail = TypeVar("Detail", MessageRow, FigureRow)
_TYPES = {str: "string", int: "int64", float: "float64"}


def details(runs: Sequence[StoredRun]) -> dict[str, bytes]:
    """Both files' bytes by name, rows by contender, seed, digest, round; equal runs give equal bytes."""
    return details_of(
        [row for run in runs for row in _messages(run)],
        [row for run in runs for row in _figures(run)],
    )


def details_of(messages: Sequence[MessageRow], figures: Sequence[FigureRow]) -> dict[str, bytes]:
    """Both files' bytes by name; rows of one run are kept in their order."""
    return {
        LEDGER: _parquet(MessageRow, sorted(messages, key=lambda row: row[:3])),
        METRICS: _parquet(FigureRow, sorted(figures, key=lambda row: row[:3])),
    }


def read_messages(folder: Path) -> list[MessageRow]:
    """Every booked message of a published folder; empty when it has none. Raises as `read_figures`."""
    return _read(folder / LEDGER, MessageRow)


def read_figures(folder: Path) -> list[FigureRow]:
    """Every figure of a published folder; empty when it has none.

    What a few bytes may unpack to is bounded before it is unpacked: bytes, rows, and the length of texts.

    Raises:
        StoreError: it is no plain Parquet file, is too large once unpacked, or has other columns or empty cells.
    """
    return _read(folder / METRICS, FigureRow)


def _read(path: Path, kind: type[Detail]) -> list[Detail]:
    if not present(path):
        return []
    if path.is_symlink() or not path.is_file():
        raise StoreError(f"{path} is no plain file. {_AGAIN}")
    try:
        rows = _rows(path, kind)
    except (StoreError, MemoryError):
        raise
    except Exception as error:  # what pyarrow raises on damaged bytes has no one type
        raise StoreError(
            f"{path} is no Parquet file that can be read ({' '.join(str(error).split())[:200]}). {_AGAIN}"
        ) from error
    if any(value is None for row in rows for value in row.values()):
        raise StoreError(f"{path} has empty cells. {_AGAIN}")
    return [kind(**row) for row in rows]


def _rows(path: Path, kind: type[Detail]) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        if not file.schema_arrow.equals(_schema(kind)):
            raise StoreError(f"{path} has other columns than this version writes: {', '.join(kind._fields)}. {_AGAIN}")
        unpacked = sum(file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups))
        for what, said, most in (("bytes", unpacked, _MOST_BYTES), ("rows", file.metadata.num_rows, _MOST_ROWS)):
            if not 0 <= said <= most:
                raise StoreError(f"{path} says that it holds {said:,} {what}; {most:,} are read at most. {_AGAIN}")
        _check_texts(path, [column for column, python in get_type_hints(kind).items() if python is str])
        rows: list[dict[str, Any]] = file.read().to_pylist()
    return rows


def _check_texts(path: Path, columns: Sequence[str]) -> None:
    """Texts are read as dictionaries: a long one that is repeated is not unpacked. Raises StoreError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, read_dictionary=list(columns)) as file:
        for batch in file.iter_batches(columns=list(columns)):
            for column in batch.columns:
                words = column.dictionary if pa.types.is_dictionary(column.type) else column
                if any(len(word or "") > _MOST_TEXT for word in words.to_pylist()):
                    raise StoreError(f"{path} has texts of more than {_MOST_TEXT} characters. {_AGAIN}")


def _messages(run: StoredRun) -> Iterator[MessageRow]:
    own = (run.spec.contender, run.spec.seed, run.spec.digest)
    columns = MessageRow._fields[len(own) :]
    for report in run.rounds:
        yield from (MessageRow(*own, *(getattr(one, column) for column in columns)) for one in report.ledger)


def _figures(run: StoredRun) -> Iterator[FigureRow]:
    own = (run.spec.contender, run.spec.seed, run.spec.digest)
    for report in run.rounds:
        figures = {
            "clients/asked": len(report.cohort),
            "clients/accepted": report.n_accepted,
            "train/mean_loss": report.mean_loss,
            **{f"valid_subset/{name}": value for name, value in sorted(report.metrics.items())},
            **{f"drift/{name}": value for name, value in sorted(report.drift.items())},
            **_clocked(report),
        }
        yield from (FigureRow(*own, report.round_index, NOBODY, name, float(value)) for name, value in figures.items())
    yield from (FigureRow(*own, NOBODY, NOBODY, name, value) for name, value in sorted(run.result.metrics.items()))
    metric = run.spec.config.evaluation.own
    for model, values in sorted(run.result.per_client.items()):
        for client_id, value in sorted(values.items(), key=lambda one: int(one[0])):
            yield FigureRow(*own, NOBODY, int(client_id), f"{model}/{metric}", value)


def _clocked(report: RoundReport) -> dict[str, float]:
    """Simulated seconds of a round, and of those who were asked how many did not count; nothing without a clock."""
    clock = report.clock
    return {} if clock is None else {"clock/seconds": clock.seconds, "clock/missed": len(clock.absent)}


def _schema(kind: type[Detail]) -> pa.Schema:
    import pyarrow as pa

    columns = get_type_hints(kind).items()
    return pa.schema([pa.field(column, pa.type_for_alias(_TYPES[python])) for column, python in columns])


def _parquet(kind: type[Detail], rows: Sequence[Detail]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = list(zip(*rows, strict=True)) or [()] * len(kind._fields)
    schema = _schema(kind)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
    out = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), out, compression="zstd")
    return out.getvalue()
