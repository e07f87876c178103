"""Simulated times of records: whether rounds of their suite can have them, and whether its messages agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from fedgen_bench.results.clock import Clock, in_vain, n_in_vain
from fedgen_bench.results.details import MessageRow
from fedgen_bench.results.files import LEDGER
from fedgen_bench.results.record import Done, Record
from fedgen_bench.review.validation.notices import Notice, label, problem

_ROUNDING = 1e-9
_WAYS = ("down", "up")


def clocks(records: Sequence[Record]) -> Iterator[Notice]:
    """Every finished record has a clock where its suite has devices and asks clients, and one that can be."""
    for record in records:
        if record.status != "done":
            continue
        meant = record.config.devices is not None and record.facts.cohort_kind == "sampled"
        if record.clock is None and meant:
            yield problem("values", f"{label(record)}: `clock` is missing, and the suite has devices. Publish again.")
        elif record.clock is not None and not meant:
            yield problem("values", f"{label(record)}: it has a `clock`, and no devices. Remove it.")
        elif record.clock is not None:
            for text in _of(record, record.clock):
                yield problem("values", f"{label(record)}: {text}")


def _of(record: Done, clock: Clock) -> Iterator[str]:
    federation, devices = record.config.federation, record.config.devices
    if len(clock.rounds) != federation.rounds:
        yield f"`clock.rounds` has {len(clock.rounds)} rounds, the suite {federation.rounds}."
    deadline = None if devices is None else devices.deadline
    if deadline is not None and max(clock.rounds) > deadline * (1 + _ROUNDING):
        yield f"`clock.rounds` has {max(clock.rounds)} seconds, the suite's deadline is {deadline:g}."
    for at, client, code in clock.missed:
        if at >= federation.rounds or client >= federation.n_clients:
            yield f"`clock.missed` has round {at}, client {client} ({code}), which the suite does not have."
    out = Counter([*(at for at, *_ in clock.missed), *(one.round_index for one in record.quarantined)])
    for at, n_out in sorted(out.items()):
        if n_out > federation.clients_per_round:
            yield f"{n_out} clients did not count in round {at}, the suite asks {federation.clients_per_round}."
    for way, wasted in (("down", clock.wasted_down), ("up", clock.wasted_up)):
        total = getattr(record.bytes, way).encoded
        if wasted > total:
            yield f"`clock.wasted_{way}` is {wasted:,} bytes, {total:,} were booked."
    most = min(federation.n_clients, record.client_rounds - out.total())
    if clock.contributors > most:
        yield f"`clock.contributors` is {clock.contributors}, {most} replies of different clients can have counted."
    measured = {int(client) for of_client in record.per_client.values() for client in of_client}
    if strangers := sorted(set(clock.slow) - measured):
        yield f"`clock.slow` has client {strangers[0]}, whom `per_client` does not have."


def messages(records: Sequence[Record], rows: Sequence[MessageRow]) -> Iterator[Notice]:
    """Who missed a round sent nothing in it; what was wasted and who contributed is what the messages give."""
    by_key: dict[tuple[str, int, str], list[MessageRow]] = {}
    for row in rows:
        by_key.setdefault((row.contender, row.seed, row.digest), []).append(row)
    for record in records:
        if record.status == "done" and record.clock is not None:
            own = by_key.get((record.contender, record.seed, record.digest), [])
            for text in _of_messages(record, record.clock, own):
                yield problem("ledger", f"{LEDGER}, {label(record).partition(', ')[2]}: {text}")


def _of_messages(record: Done, clock: Clock, rows: Sequence[MessageRow]) -> Iterator[str]:
    missed = [((at, client), code) for at, client, code in clock.missed]
    refused = [(one.round_index, one.client_id) for one in record.quarantined]
    sizes: dict[str, dict[tuple[int, int], list[int]]] = {way: {} for way in _WAYS}
    for row in rows:
        if row.direction in sizes:
            sizes[row.direction].setdefault((row.round_index, row.client_id), []).append(row.encoded_bytes)
    n_down, n_up = (Counter({who: len(those) for who, those in sizes[way].items()}) for way in _WAYS)
    for (at, client), n_missed in sorted(n_in_vain((), missed, "down").items()):
        if rows and n_up[at, client] > n_down[at, client] - n_missed:
            yield f"round {at}, client {client}: it did not count, and what it was sent is not booked, or a reply is."
    for way, said in zip(_WAYS, (clock.wasted_down, clock.wasted_up), strict=True):
        n_wasted = n_in_vain(refused, missed, way)
        wasted = sum(in_vain(those, n_wasted[who]) for who, those in sizes[way].items())
        if wasted != said:
            yield f"{wasted:,} bytes {way} were wasted, `clock.wasted_{way}` is {said:,}."
    n_refused = Counter(refused)
    heard = {who[1] for who, n_replies in n_up.items() if n_replies > n_refused[who]}
    if heard and len(heard) != clock.contributors:
        yield f"{len(heard)} clients sent an update that counted, `clock.contributors` is {clock.contributors}."
