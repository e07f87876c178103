"""Each kind of damage to a published folder is named."""

import json
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_validation import record_in, said

from fedgen_bench.results.manifest import write_manifest
from fedgen_bench.review.validation import validate


def _cut_off(folder):
    path = folder / "results.json"
    path.write_bytes(path.read_bytes()[:1000])


def _newer(folder):
    (folder / "results.json").write_text('{"schema": 2, "runs": []}')


def _twice(folder):
    text = (folder / "results.json").read_text()
    (folder / "results.json").write_text(text.replace('"schema": 1,', '"schema": 1, "schema": 1,'))


def _deep(folder):
    (folder / "results.json").write_text("[" * 200_000 + "]" * 200_000)


def _suite_text(old, new):
    def change(folder):
        body = json.loads((folder / "results.json").read_text())
        body["suite_text"], found = re.subn(old, new, body["suite_text"])
        assert found
        (folder / "results.json").write_text(json.dumps(body))

    return change


def _duplicate(folder):
    body = json.loads((folder / "results.json").read_text())
    body["records"].append(record_in(body))
    (folder / "results.json").write_text(json.dumps(body))


def _row(name, n, **changes):
    """A row of a Parquet file, by number or the first that fits, changed; without changes removed.

    A change may be a function of the row and all rows.
    """

    def change(folder):
        table = pq.read_table(folder / name)
        rows = table.to_pylist()
        i = next(i for i, row in enumerate(rows) if n(row)) if callable(n) else n
        rows[i] |= {key: value(rows[i], rows) if callable(value) else value for key, value in changes.items()}
        if not changes:
            del rows[i]
        pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), folder / name)

    return change


def _stranger(row, rows):
    """A client whom the row's round did not ask."""
    same = ("contender", "seed", "round_index")
    asked = {one["client_id"] for one in rows if all(one[key] == row[key] for key in same)}
    return min(set(range(max(asked))) - asked)


def _of_a_round(row):
    return row["name"] == "valid_subset/fid_cifarnet"


def _append(name, text):
    def change(folder):
        with (folder / name).open("a") as handle:
            handle.write(text)

    return change


def _text(name, content):
    return lambda folder: (folder / name).write_bytes(content)


DAMAGED_FOLDERS = {
    "cut off": (_cut_off, "schema", "was cut off"),
    "newer schema": (_newer, "schema", "has schema 2, this version knows 1. Upgrade"),
    "key twice": (_twice, "schema", "the key `schema` twice"),
    "nested": (_deep, "schema", "nested too deeply"),
    "no results": (lambda folder: (folder / "results.json").unlink(), "schema", "no results.json"),
    "another suite": (_suite_text(r"local_steps = \d+", "local_steps = 50"), "suite", "A version never changes"),
    "broken suite": (_suite_text(r"local_steps = \d+", "local_steps = 0"), "suite", "`training.local_steps`"),
    "suite's version": (_suite_text(r"version = \d+", "version = 99"), "suite", "the suite's text has 99"),
    "record twice": (_duplicate, "suite", "a second record of this run"),
    "message's bytes": (_row("ledger.parquet", 0, tensor_bytes=1), "ledger", "with 1 of tensors"),
    "message of nobody": (_row("ledger.parquet", 0, contender="ghost"), "ledger", "has messages of ghost/1"),
    "message lost": (_row("ledger.parquet", 0), "ledger", "`bytes.down.messages` = 60"),
    "message late": (_row("ledger.parquet", 0, round_index=6), "ledger", "the suite has 6 rounds"),
    "message twice": (_row("ledger.parquet", 1, direction="down"), "ledger", "a second message"),
    "message sideways": (_row("ledger.parquet", 0, direction="side"), "ledger", "a direction is `up` or `down`"),
    "another client": (_row("ledger.parquet", 0, client_id=_stranger), "ledger", "asks 11 clients, the suite 10"),
    "figure": (_row("metrics.parquet", 0, value=2.0), "values", "times a client was asked"),
    "figure not finite": (_row("metrics.parquet", 2, value=float("nan")), "values", "is nan. No run gives that"),
    "figure of a round": (
        _row("metrics.parquet", _of_a_round, value=lambda row, _: row["value"] / 2),
        "values", "valid_subset/fid_cifarnet is",
    ),
    "long text": (_row("ledger.parquet", 0, phase="x" * 201), "ledger", "more than 200 characters"),
    "empty cell": (_row("ledger.parquet", 0, client_id=None), "ledger", "empty cells"),
    "no Parquet": (_text("ledger.parquet", b"PAR1"), "ledger", "no Parquet file that can be read"),
    "table": (_append("table.csv", "9,ghost\n"), "files", "table.csv is not what results.json gives"),
    "table's page": (_append("table.md", "<script>"), "files", "table.md is not what results.json gives"),
    "no table": (lambda folder: (folder / "table.json").unlink(), "files", "table.json is missing"),
    "times": (_append("timing.csv", "ghost,1,done,2.0\n"), "files", "timing.csv lists other runs"),
    "drawing": (_text("convergence.svg", b"<svg onload='x()'/>"), "folder", "which a browser would run"),
    "picture": (_text("samples.png", b"GIF89a"), "folder", "samples.png is no PNG"),
    "module": (_text("conftest.py", b"raise SystemExit"), "folder", "conftest.py may hold code"),
    "weights": (_text("model.pt", b"PK"), "folder", "model.pt may hold code"),
    "program": (_text("table", b"\x7fELF\x02\x01\x01"), "folder", "table begins like a program"),
    "name": (_text("ta\nble.csv", b""), "folder", "ta\\nble.csv has a name"),
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGED_FOLDERS)
def test_damaged_folder_is_named(kind, folder, registry):
    change, group, expected = DAMAGED_FOLDERS[kind]
    change(folder)
    write_manifest(folder)
    assert [text for text in said(validate(folder, registry), group) if expected in text]
