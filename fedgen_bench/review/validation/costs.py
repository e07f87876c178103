"""Costs that no cell can have: against the record's curve, its budget and its sizes, and what was booked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fedgen_bench.results.details import MessageRow
from fedgen_bench.review.validation.notices import Notice, label, problem
from fedgen_bench.suite.cellconfig import canonical

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.results.costs import Costs
    from fedgen_bench.results.record import Done, Record

GROUP = "values"
_AGAIN = "Publish it again."


def costs(records: Sequence[Record], registry: Registry) -> Iterator[Notice]:
    """Of every record that has any; models of one task and adapter have one size."""
    sizes: dict[str, tuple[Record, int]] = {}
    for record in records:
        if record.status != "done" or record.costs is None:
            continue
        for text in (*_curve(record, record.costs), *_budget(record, record.costs, registry)):
            yield problem(GROUP, f"{label(record)}: {text}")
        for text in _bytes(record, record.costs):
            yield problem(GROUP, f"{label(record)}: {text}")
        own = canonical([record.config.task, record.config.contender.adapter, record.seed])
        other, size = sizes.setdefault(own, (record, record.costs.model_bytes))
        if record.costs.model_bytes != size:
            said = f"`costs.model_bytes` is {record.costs.model_bytes:,}, that of {other.name} {size:,}"
            yield problem(GROUP, f"{label(record)}: {said}, with one task and adapter. One of them was changed.")


def first_messages(records: Sequence[Record], rows: Sequence[MessageRow]) -> Iterator[Notice]:
    """What a new device fetches is no less than the smallest message of the first round."""
    smallest: dict[tuple[str, int, str], int] = {}
    for row in rows:
        if row.direction == "down" and row.round_index == 0:
            key = (row.contender, row.seed, row.digest)
            smallest[key] = min(row.encoded_bytes, smallest.get(key, row.encoded_bytes))
    for record in records:
        if record.status != "done" or record.costs is None or record.costs.joining_bytes is None:
            continue
        least = smallest.get((record.contender, record.seed, record.digest), 0)
        if record.costs.joining_bytes < least:
            said = f"`costs.joining_bytes` is {record.costs.joining_bytes:,}, a first message has {least:,}"
            yield problem(GROUP, f"{label(record)}: {said}. {_AGAIN}")


def _curve(record: Done, found: Costs) -> Iterator[str]:
    if not record.curve or record.curve[-1].n_rounds != record.config.federation.rounds:
        return
    ends = (
        ("steps_so_far", found.steps_so_far[-1], found.n_steps),
        *((("joules_so_far", found.joules_so_far[-1], found.joules),) if found.joules_so_far else ()),
    )
    for name, last, total in ends:
        if last != total:
            yield f"`costs.{name}` ends at {last:,}, and there are {total:,} in all. {_AGAIN}"


def _budget(record: Done, found: Costs, registry: Registry) -> Iterator[str]:
    """Steps are bounded where the suite counts them, by rounds, cohorts and what the strategy may ask for."""
    federation, kind = record.config.federation, record.facts.cohort_kind
    if kind == "none":
        yield "there are `costs`, and `facts.cohort_kind` is 'none'. Nothing is trained there."
        return
    if found.joules is not None and record.config.devices is None:
        yield "`costs.joules` is there, and the suite has no devices that draw any. Remove it."
    known = registry.components["strategy"].get(record.config.contender.strategy.name)
    local_steps = record.config.training.local_steps
    if known is None or local_steps is None:
        return
    most = federation.rounds * federation.clients_per_round * local_steps * known.spec.fits_per_round
    if found.n_steps > most:
        yield f"`costs.n_steps` is {found.n_steps:,}, the suite's rounds, cohorts and steps give at most {most:,}."


def _bytes(record: Done, found: Costs) -> Iterator[str]:
    trained = record.facts.trainable_params
    if found.model_bytes < trained:
        yield f"`costs.model_bytes` is {found.model_bytes:,}, and {trained:,} parameters are trained. {_AGAIN}"
    if (found.joining_bytes is None) == (record.facts.cohort_kind == "sampled"):
        said = "no `costs.joining_bytes`" if found.joining_bytes is None else "`costs.joining_bytes`"
        yield f"there is {said}, and `facts.cohort_kind` is '{record.facts.cohort_kind}'. {_AGAIN}"
