"""A trace file of devices: CSV with what each client's device could do, from which second on.

Columns are COLUMNS in any order. A client has one row or more, each of which holds until its next, its first from
second 0 on; clients are numbered from 0 without a gap.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

from fedgen_bench.base.errors import DataError
from fedgen_bench.federation.fleet import Device, State

COLUMNS = ("client", "since_s", "step_s", "down_bytes_s", "up_bytes_s", "available")


def read_trace(path: Path, n_clients: int) -> list[Device]:
    """The devices of a trace, by its clients' numbers.

    Raises:
        DataError: it is not there, or is no such file: the line and what is wrong with it; fewer clients than
            `n_clients`.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(_rows(path, csv.reader(file)))
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"Trace {path} cannot be read ({reason}). Name a CSV file as `devices.trace`.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"Trace {path} is no CSV file in UTF-8: {error}. Save it as one.") from error
    states: dict[int, list[State]] = {}
    for line, client, state in rows:
        own = states.setdefault(client, [])
        if not own and state.since != 0:
            raise _wrong(path, line, f"client {client} begins at second {state.since:g}. Begin it at second 0")
        if own and state.since <= own[-1].since:
            raise _wrong(path, line, f"client {client} goes back in time. Sort its rows by `since_s`")
        own.append(state)
    missing = next((i for i in range(len(states)) if i not in states), None)
    if missing is not None:
        raise DataError(f"Trace {path} has no row of client {missing}. Number its clients from 0 without a gap.")
    if len(states) < n_clients:
        raise DataError(
            f"Trace {path} has {len(states)} clients, the suite {n_clients}. Add clients to the trace, or lower "
            "`federation.n_clients`."
        )
    return [Device(name=f"client {i}", states=tuple(states[i])) for i in range(len(states))]


def _rows(path: Path, lines: Iterator[list[str]]) -> Iterator[tuple[int, int, State]]:
    """(line, client, state) of every row."""
    head = next(lines, [])
    if sorted(head) != sorted(COLUMNS):
        raise DataError(f"Trace {path} has the columns {_listed(head)}. It must have {_listed(COLUMNS)}.")
    for line, values in enumerate(lines, start=2):
        if len(values) != len(head):
            raise _wrong(path, line, f"it has {len(values)} values for {len(head)} columns. Fill the gap")
        named = dict(zip(head, values, strict=True))
        if gap := next((name for name, value in named.items() if not value.strip()), None):
            raise _wrong(path, line, f"`{gap}` is empty. Fill the gap")
        if not named["client"].isdecimal():
            raise _wrong(path, line, f"client {named['client']!r} is no whole number from 0 on. Number the clients")
        if named["available"] not in {"0", "1"}:
            raise _wrong(path, line, f"`available` is {named['available']!r}. Write 0 or 1")
        since, step, down, up = (
            _number(path, line, name, named[name], least=name == "since_s")
            for name in ("since_s", "step_s", "down_bytes_s", "up_bytes_s")
        )
        available = named["available"] == "1"
        state = State(since=since, step_seconds=step, down=down, up=up, available=available)
        yield line, int(named["client"]), state


def _number(path: Path, line: int, name: str, text: str, *, least: bool) -> float:
    """A finite number above 0, or from 0 on where `least`."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and (value > 0 or (least and value == 0))):
        needed = "a number from 0 on" if least else "a number above 0"
        raise _wrong(path, line, f"`{name}` is {text!r}. Write {needed}")
    return value


def _wrong(path: Path, line: int, what: str) -> DataError:
    return DataError(f"Trace {path}, line {line}: {what}.")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"
