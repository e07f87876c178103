"""A cell by the simulated clock of its suite's devices; an optional key of its record."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import ConfigDict, Field

from fedgen_bench.contract.reports import UNAVAILABLE

if TYPE_CHECKING:
    from fedgen_bench.contract.reports import RoundReport

_Count = Annotated[int, Field(ge=0, le=2**53)]
_Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
T = TypeVar("T")
Missed = tuple[_Count, _Count, Literal["late", "left", "unavailable"]]


@dataclass(frozen=True, kw_only=True)
class Clock:
    """Of a finished cell.

    Args:
        rounds: simulated seconds of every round.
        missed: (round, client, code) of everybody who was asked and whose reply did not count.
        wasted_down: bytes of messages to clients whose reply did not count, those that the gate refused among them.
        wasted_up: bytes of replies that did not count.
        contributors: clients of whom an update was ever admitted.
        slow: of the clients whose own data were evaluated, those on the slowest tenth of devices, ascending.
        one_by_one: whether clients arrived one by one: rounds are then not the cohorts that were drawn.
    """

    __pydantic_config__: ClassVar = ConfigDict(strict=True, extra="forbid")

    rounds: Annotated[tuple[_Amount, ...], Field(min_length=1)]
    missed: tuple[Missed, ...]
    wasted_down: _Count
    wasted_up: _Count
    contributors: _Count
    slow: tuple[_Count, ...]
    one_by_one: bool = False

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> Self:
        """From JSON."""
        missed = tuple((at, client, code) for at, client, code in table["missed"])
        lists = {name: tuple(table[name]) for name in ("rounds", "slow")}
        return cls(**{**table, **lists, "missed": missed})

    @property
    def seconds(self) -> float:
        """Of the whole run."""
        return self.seconds_at(len(self.rounds))

    def seconds_at(self, n_rounds: int) -> float:
        """Until so many rounds have ended."""
        return math.fsum(self.rounds[:n_rounds])


def clock_table(reports: Sequence[RoundReport], slow: Sequence[int]) -> dict[str, Any]:
    """The clock of a run's rounds as JSON has it; empty where one of them had none."""
    clocks = [report.clock for report in reports if report.clock is not None]
    if not clocks or len(clocks) != len(reports):
        return {}
    wasted = {way: sum(_wasted(report, way) for report in reports) for way in ("down", "up")}
    return {
        "rounds": [one.seconds for one in clocks],
        "missed": [
            (report.round_index, one.client_id, one.code)
            for report, clock in zip(reports, clocks, strict=True)
            for one in clock.absent
        ],
        "wasted_down": wasted["down"],
        "wasted_up": wasted["up"],
        "contributors": len({client for report in reports for client in report.admitted}),
        "slow": list(slow),
        "one_by_one": clocks[0].one_by_one,
    }


def _wasted(report: RoundReport, way: str) -> int:
    refused = [one.client_id for one in report.quarantined]
    codes = [] if report.clock is None else [(one.client_id, one.code) for one in report.clock.absent]
    sizes: dict[int, list[int]] = {}
    for entry in report.ledger:
        if entry.direction == way:
            sizes.setdefault(entry.client_id, []).append(entry.encoded_bytes)
    n_wasted = n_in_vain(refused, codes, way)
    return sum(in_vain(those, n_wasted[client]) for client, those in sizes.items())


def n_in_vain(refused: Iterable[T], missed: Iterable[tuple[T, str]], way: str) -> Counter[T]:
    """Of everybody, how many messages one way were in vain: of replies that were refused, and down to who missed."""
    lost = (who for who, code in missed if way == "down" and code != UNAVAILABLE)
    return Counter((*refused, *lost))


def in_vain(sizes: Iterable[int], n: int) -> int:
    """Bytes of so many messages of one client in a round: the longest, should it have more."""
    return sum(sorted(sizes, reverse=True)[:n])
