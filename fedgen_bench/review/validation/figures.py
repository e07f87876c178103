"""metrics.parquet against results.json."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from fedgen_bench.results.details import NOBODY, FigureRow
from fedgen_bench.results.files import METRICS, RESULTS
from fedgen_bench.results.record import Record
from fedgen_bench.review.validation.notices import Notice, label, problem

GROUP = "values"
Key = tuple[str, int, str]


def figures(records: Sequence[Record], rows: Sequence[FigureRow]) -> Iterator[Notice]:
    """Every figure that both files have is the same."""
    given: dict[Key, dict[tuple[int, int, str], float]] = {
        (record.contender, record.seed, record.digest): {} for record in records
    }
    for row in rows:
        name = f"{row.contender}/{row.seed}"
        where = f"round {row.round_index}, client {row.client_id}, {row.name}"
        own = given.get((row.contender, row.seed, row.digest))
        key = (row.round_index, row.client_id, row.name)
        if own is None:
            yield problem(GROUP, f"{METRICS} has {where} of {name}, a run that {RESULTS} does not have. Publish again.")
            continue
        if key in own:
            yield problem(GROUP, f"{METRICS}, {name}: {where} is there twice. Publish again.")
        if not math.isfinite(row.value) and not row.name.startswith("drift/"):  # hostile updates may overflow it
            yield problem(GROUP, f"{METRICS}, {name}: {where} is {row.value}. No run gives that.")
        own[key] = row.value
    for record in records:
        for text in _record(record, given[record.contender, record.seed, record.digest]):
            yield problem(GROUP, f"{METRICS}, {label(record).partition(', ')[2]}: {text}")


def _record(record: Record, given: Mapping[tuple[int, int, str], float]) -> Iterator[str]:
    metric = record.followed
    expected: dict[tuple[int, int, str], float] = {
        (NOBODY, NOBODY, name): value for name, value in record.metrics.items()
    }
    expected |= {(point.n_rounds - 1, NOBODY, f"valid_subset/{metric}"): point.value for point in record.curve}
    if record.status == "done" and record.clock is not None:
        expected |= {(i, NOBODY, "clock/seconds"): seconds for i, seconds in enumerate(record.clock.rounds)}
    expected |= {
        (NOBODY, int(client_id), f"{model}/{record.own}"): value
        for model, values in record.per_client.items()
        for client_id, value in values.items()
    }
    for key, value in expected.items():
        if key not in given:
            yield f"{key[2]} is missing{_at(key)}, {RESULTS} has {value}."
        elif given[key] != value:
            yield f"{key[2]} is {given[key]}{_at(key)}, {RESULTS} has {value}."
    for key in given.keys() - expected.keys():
        if key[0] == NOBODY or key[2] == f"valid_subset/{metric}":
            yield f"{key[2]} is {given[key]}{_at(key)}, {RESULTS} has no such figure."
    asked = {key[0]: value for key, value in given.items() if key[2] == "clients/asked"}
    if math.fsum(asked.values()) != record.client_rounds:
        said = f"{math.fsum(asked.values()):g} times a client was asked"
        yield f"{said}, {RESULTS} has `client_rounds` = {record.client_rounds}."
    for round_index, n_asked in asked.items():
        if not 0 <= given.get((round_index, NOBODY, "clients/accepted"), -1) <= n_asked:
            yield f"clients/accepted is missing or not within 0 to {n_asked:g} in round {round_index}."


def _at(key: tuple[int, int, str]) -> str:
    where = "" if key[0] == NOBODY else f" in round {key[0]}"
    return where if key[1] == NOBODY else f"{where} for client {key[1]}"
