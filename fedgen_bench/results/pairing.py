"""Which cells may be compared: finished ones of the suite itself that saw the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from fedgen_bench.base.errors import PairingError
from fedgen_bench.contract.seeds import digest
from fedgen_bench.results.record import Done, Record
from fedgen_bench.suite.cellconfig import canonical

if TYPE_CHECKING:
    from fedgen_bench.suite.schema import SuiteSpec

_OWN = ("contender", "point", "seed")


def comparable(records: Iterable[Record]) -> list[Done]:
    """Runs that finished, without those under overrides."""
    return [record for record in records if record.status == "done" and not record.off_suite]


def enters(record: Record, suite: SuiteSpec) -> bool:
    """Whether a run is under a seed that the suite has for its row, ranked or not; tables leave out the others."""
    return record.seed in suite.seeds.of(ranked=record.config.contender.ranked)


def conditions_of(record: Record) -> str:
    """What a run was made under, without its contender and seed: only runs under equal conditions are compared."""
    return canonical({k: v for k, v in record.config.to_json().items() if k not in _OWN})


def told_apart(records: Sequence[Record]) -> Callable[[Record], str]:
    """Conditions of one suite's records: one for all unless it sweeps, so that what differs is refused."""
    return conditions_of if any(record.config.point for record in records) else lambda _: ""


def check_pairing(records: Sequence[Record]) -> None:
    """Refuse to compare runs that did not see the same.

    Data and backbone are one for the whole table; split, cohorts and batches for conditions and a seed; initial tensors
    for a seed and an adapter.

    Raises:
        PairingError: names both runs and what differs.
    """
    first: dict[tuple[object, ...], tuple[Record, str]] = {}
    conditions = told_apart(records)
    for record in comparable(records):
        for key, value in _seen(record, conditions):
            other, expected = first.setdefault(key, (record, value))
            if value != expected:
                raise PairingError(
                    f"{record.name} and {other.name} differ in their {key[0]} digest ({value[:12]} and "
                    f"{expected[:12]}): they did not see the same {key[0]}. Run both again under one version of the "
                    "suite, in an empty folder (`--runs`)."
                )


def _seen(record: Done, conditions: Callable[[Record], str]) -> Iterator[tuple[tuple[object, ...], str]]:
    """What a run saw, each under what it is shared by: what it is, and of whom."""
    digests, seed = record.digests, record.seed
    yield ("data",), digest(canonical(record.facts.data))
    yield ("initial", seed, canonical(record.config.contender.adapter)), digests.initial
    if record.facts.cohort_kind == "sampled":
        under = conditions(record)
        yield ("partition", seed, under), digests.partition
        yield ("cohort", seed, under), digests.cohort
        yield ("batches", seed, under), digests.batches
