"""results.json -> records that later checks may rely on, and what is wrong with the others."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from fedgen_bench.base.errors import did_you_mean
from fedgen_bench.results.files import RESULTS
from fedgen_bench.results.published.schema import BODY, KNOWN, STATUSES
from fedgen_bench.results.record import Record, from_json

_MOST_DEPTH = 32
_MOST_TOLD = 20
_AGAIN = "Publish the folder again, or restore it from its commit."


@dataclass(frozen=True)
class ResultsFile:
    """What results.json holds.

    Args:
        records: those that have the schema.
        named: contender and seed of every record that says them, whatever else is wrong with it.
        complete: whether all records have the schema.
    """

    suite: str
    version: int
    suite_text: str
    records: tuple[Record, ...]
    named: frozenset[tuple[str, int]]
    complete: bool


def read_results(text: str) -> tuple[ResultsFile | None, list[str]]:
    """The results, and what is wrong with them as sentences; None when nothing can be said about records."""
    body, found = _parse(text)
    if body is None:
        return None, found
    odd = _odd_values({key: value for key, value in body.items() if key != "records"})
    shape = [f"{RESULTS}: `{path}` {what}. {_AGAIN}" for path, what in odd] or list(_shape(BODY, body, ""))
    if shape:
        return None, [*found, *shape[:_MOST_TOLD]]
    good: list[Record] = []
    named: set[tuple[str, int]] = set()
    for index, raw in enumerate(body["records"]):
        contender, seed = raw.get("contender"), raw.get("seed")
        named_here = isinstance(contender, str) and type(seed) is int
        where = f"{contender}/{seed}" if named_here else f"records[{index}]"
        if named_here:
            named.add((str(contender), int(str(seed))))
        record, wrong = _record(raw, where)
        good += [record] if record is not None else []
        found += wrong
        if len(found) > _MOST_TOLD:
            break
    complete = len(good) == len(body["records"])
    results = ResultsFile(body["suite"], body["version"], body["suite_text"], tuple(good), frozenset(named), complete)
    return results, found


def _parse(text: str) -> tuple[dict[str, Any] | None, list[str]]:
    literals: list[str] = []
    twice: list[str] = []

    def literal(name: str) -> float:
        literals.append(name)
        return float(name)

    def table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name, value in pairs:
            if name in made:
                twice.append(name)
            made[name] = value
        return made

    try:
        body = json.loads(text, parse_constant=literal, object_pairs_hook=table)
    except RecursionError:
        return None, [f"{RESULTS} is nested too deeply to be results. {_AGAIN}"]
    except ValueError as error:
        return None, [f"{RESULTS} is no JSON, or was cut off ({error}). {_AGAIN}"]
    found = [f"{RESULTS} has the key `{name}` twice in one table. Keep one." for name in twice[:5]]
    if literals:
        said = f"{RESULTS} holds {len(literals)} literals like `{literals[0]}`, which are no JSON"
        found.append(f"{said}: the runs had no such result.")
    if not isinstance(body, dict):
        return None, [*found, f"{RESULTS} is no table. {_AGAIN}"]
    schema = body.get("schema")
    if type(schema) is int and schema > KNOWN:
        said = f"{RESULTS} has schema {schema}, this version knows {KNOWN}. Upgrade fedgen-bench to check it."
        return None, [*found, said]
    return body, found


def _record(raw: Mapping[str, Any], where: str) -> tuple[Record | None, list[str]]:
    """The record, or None with what is wrong with it."""
    wrong = list(_wrong(raw, where))
    try:
        return (None, wrong) if wrong else (from_json(raw), [])
    except ValueError as error:
        return None, [f"{RESULTS}, {where}: `config`: {error}. {_AGAIN}"]


def _wrong(raw: Mapping[str, Any], where: str) -> Iterator[str]:
    odd = list(_odd_values(raw))
    for path, what in odd:
        yield f"{RESULTS}, {where}: `{path}` {what}. No run gives that."
    if odd:
        return
    status = raw.get("status")
    if not isinstance(status, str) or status not in STATUSES:
        known = did_you_mean(str(status)[:40], STATUSES)
        yield f"{RESULTS}, {where}: `status` is {status!r}, no status of a run that has ended.{known}"
        return
    yield from _shape(STATUSES[status], raw, where)


def _shape(schema: TypeAdapter[Any], raw: Mapping[str, Any], where: str) -> Iterator[str]:
    """Differences from a schema, each with its path."""
    prefix = f"{RESULTS}, {where}" if where else RESULTS
    try:
        schema.validate_json(json.dumps(raw))
    except ValidationError as error:
        for one in error.errors(include_url=False, include_context=False):
            path = ".".join(str(part) for part in one["loc"])
            if one["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
                said = f"`{path}` is not in schema {KNOWN}. Remove it."
            elif one["type"] == "missing":
                said = f"`{path}` is missing. {_AGAIN}"
            else:
                said = f"`{path}`: {one['msg'][:1].lower()}{one['msg'][1:]} (got {_short(one['input'])})."
            yield f"{prefix}: {said}"
    except (RecursionError, ValueError) as error:
        yield f"{prefix}: cannot be read ({type(error).__name__}). {_AGAIN}"


def _short(value: object) -> str:
    said = type(value).__name__ if isinstance(value, dict | list) else repr(value)
    return said if len(said) <= 60 else f"{said[:60]}..."  # noqa: PLR2004 - one line of a terminal


def _odd_values(raw: object) -> Iterator[tuple[str, str]]:
    """Numbers that are not finite or have more than 64 bits, broken texts, tables nested too deeply: path and why."""
    pending: list[tuple[str, int, object]] = [("", 0, raw)]
    while pending:
        path, depth, value = pending.pop()
        if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):  # noqa: PLR0124 - NaN
            yield path, f"is {value}"
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            yield path, "is a number of more than 64 bits"
        elif isinstance(value, str) and not _is_text(value):
            yield path, "holds half of a character (a lone surrogate)"
        elif isinstance(value, dict | list) and depth > _MOST_DEPTH:
            yield path[:80], f"is nested more than {_MOST_DEPTH} tables deep"
        elif isinstance(value, dict | list):
            items = value.items() if isinstance(value, dict) else enumerate(value)
            if isinstance(value, dict) and not all(map(_is_text, value)):
                yield path, "has a key with half of a character (a lone surrogate)"
            pending += [(f"{path}.{key}" if path else str(key), depth + 1, one) for key, one in items]


def _is_text(value: str) -> bool:
    return value.isascii() or not any("\ud800" <= one <= "\udfff" for one in value)
