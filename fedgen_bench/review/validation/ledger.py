"""Bytes: totals against themselves, and against every booked message where the folder has them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fedgen_bench.contract.seeds import digest
from fedgen_bench.results.details import MessageRow
from fedgen_bench.results.files import LEDGER, RESULTS
from fedgen_bench.results.record import Booked, Record
from fedgen_bench.review.validation.notices import Notice, label, problem, remark

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Registry

GROUP = "ledger"
_PARAMETER_BYTES = 4  # of a trained parameter in the tensors' own type, 32-bit floats
_FEW_BYTES = 16  # of what a message has beside parameters
_LENGTH_BYTES = 8  # of every header
Key = tuple[str, int, str]


def totals(records: Sequence[Record]) -> Iterator[Notice]:
    """A record's sums among themselves, with its curve and with the suite's budget."""
    for record in records:
        for text in _totals(record):
            yield problem(GROUP, f"{label(record)}: {text}")


def _totals(record: Record) -> Iterator[str]:
    federation, booked = record.config.federation, record.bytes.ways
    n_asked = record.client_rounds
    for way, one in booked:
        if one.encoded != one.tensors + one.headers:
            said = f"{one.tensors:,} of tensors and {one.headers:,} of headers"
            yield f"`bytes.{way}.encoded` is {one.encoded:,}, with {said}. A message is its header and its tensors."
        if one.messages > n_asked and record.config.contender.mechanism is None:
            yield f"{one.messages:,} messages {way}, and {n_asked:,} times a client was asked. Each sends one."
        if one.headers < _LENGTH_BYTES * one.messages:
            yield f"{one.headers:,} bytes of headers for {one.messages:,} messages {way}. Each has a header."
        if not one.messages and one.encoded:
            yield f"{one.encoded:,} bytes {way} in no message."
    kind = record.facts.cohort_kind if record.status == "done" else None
    if kind in ("pooled", "none") and any(one.encoded or one.messages for _, one in booked):
        yield f"bytes are booked, and `facts.cohort_kind` is {kind!r}. Nothing travels there."
    rounds = federation.rounds
    budget = {"sampled": rounds * federation.clients_per_round, "pooled": rounds, "none": 0}
    if kind is not None and n_asked != budget[kind]:
        yield f"`client_rounds` is {n_asked:,}, the suite's rounds and cohorts give {budget[kind]:,}."
    if n_asked > budget["sampled"]:
        yield f"`client_rounds` is {n_asked:,}, more than the suite's {budget['sampled']:,}."
    up = [one.uplink_bytes for one in record.curve]
    if any(after < before for before, after in itertools.pairwise(up)):
        yield "the uplink of its `curve` falls from one round to a later one. Bytes only add up."
    total = record.bytes.up.encoded
    whole = record.status == "done" and bool(up) and record.curve[-1].n_rounds == rounds
    if up and (up[-1] > total or (whole and up[-1] != total)):
        yield f"its `curve` ends at {up[-1]:,} bytes of uplink, the total is {total:,}."


def analytic(records: Sequence[Record], registry: Registry) -> Iterator[Notice]:
    """Contenders whose messages, without a compressor, do not carry all trained parameters alone: one remark each.

    Methods may send a part of what they train, or more; only their cards can say whether they should. A few numbers
    beside the parameters are none: steps that were taken, for one. Where clients' ranks differ, so do their messages,
    and all parameters are the most that one can have.
    """
    told: set[str] = set()
    for record in records:
        up = record.bytes.up
        contender = record.config.contender
        if record.status != "done" or contender.uplink or contender.mechanism is not None or not up.messages:
            continue
        whole = _PARAMETER_BYTES * record.facts.trainable_params
        adapter = registry.components["adapter"].get(contender.adapter.name)
        least = 0 if adapter is not None and adapter.spec.mixes_ranks else whole
        usual = least * up.messages <= up.tensors <= (whole + _FEW_BYTES) * up.messages
        if not usual and record.contender not in told:
            told.add(record.contender)
            sent = up.tensors / up.messages
            said = f"its messages up carry {sent:,.0f} bytes of tensors, all its trained parameters have {whole:,}"
            yield remark(GROUP, f"{label(record)}: {said}. Its card should say what it sends.")


def messages(records: Sequence[Record], rows: Sequence[MessageRow]) -> Iterator[Notice]:
    """Every booked message, their sums, and the cohorts that they show."""
    by_key: dict[Key, list[MessageRow]] = {(one.contender, one.seed, one.digest): [] for one in records}
    strangers: set[str] = set()
    for row in rows:
        key = (row.contender, row.seed, row.digest)
        if key in by_key:
            by_key[key].append(row)
        else:
            strangers.add(f"{row.contender}/{row.seed} ({row.digest})")
    for name in sorted(strangers):
        yield problem(GROUP, f"{LEDGER} has messages of {name}, which {RESULTS} does not have. Publish again.")
    for record in records:
        own = by_key[record.contender, record.seed, record.digest]
        for text in (*_each(record, own), *_sums(record, own), *_cohorts(record, own)):
            yield problem(GROUP, f"{LEDGER}, {label(record).partition(', ')[2]}: {text}")


def _each(record: Record, rows: Sequence[MessageRow]) -> Iterator[str]:
    federation = record.config.federation
    seen: set[tuple[int, int, str, str]] = set()
    carried = record.config.contender.mechanism is not None  # whose messages have phases of their own
    for row in rows:
        where = f"round {row.round_index}, client {row.client_id}, {row.direction}"
        if row.direction not in ("up", "down"):
            yield f"{where}: a direction is `up` or `down`."
        if not 0 <= row.round_index < federation.rounds:
            yield f"{where}: the suite has {federation.rounds} rounds, counted from 0."
        if not 0 <= row.client_id < federation.n_clients:
            yield f"{where}: the suite has {federation.n_clients} clients, counted from 0."
        if min(row.encoded_bytes, row.tensor_bytes, row.header_bytes) < 0:
            yield f"{where}: a negative number of bytes."
        if row.encoded_bytes != row.tensor_bytes + row.header_bytes:
            said = f"{row.tensor_bytes:,} of tensors and {row.header_bytes:,} of headers"
            yield f"{where}: {row.encoded_bytes:,} bytes, with {said}."
        key = (row.round_index, row.client_id, row.direction, row.phase if carried else "")
        if key in seen and not _one_by_one(record):
            yield f"{where}: there is a second message. A client is asked once a round."
        seen.add(key)


def _sums(record: Record, rows: Sequence[MessageRow]) -> Iterator[str]:
    for way, one in record.bytes.ways:
        own = [row for row in rows if row.direction == way]
        sums = Booked.of(own)
        for what in ("encoded", "tensors", "headers", "messages"):
            value, said = getattr(sums, what), getattr(one, what)
            if value != said:
                yield f"its messages sum to {value:,}, {RESULTS} has `bytes.{way}.{what}` = {said:,}."
    by_round: dict[int, int] = {}
    for row in rows:
        if row.direction == "up":
            by_round[row.round_index] = by_round.get(row.round_index, 0) + row.encoded_bytes
    for n_rounds, _, up in record.curve:
        sent = sum(n for round_index, n in by_round.items() if round_index < n_rounds)
        if sent != up:
            yield f"{sent:,} bytes went up in the first {n_rounds} rounds, the `curve` says {up:,}."


def _cohorts(record: Record, rows: Sequence[MessageRow]) -> Iterator[str]:
    """Sizes of the cohorts and, when every asked client left a message, the digest of who was asked when."""
    federation = record.config.federation
    size = federation.clients_per_round
    by_round: dict[int, set[int]] = {}
    for row in rows:
        by_round.setdefault(row.round_index, set()).add(row.client_id)
    for round_index, asked in sorted(by_round.items()):
        if len(asked) > size:
            yield f"round {round_index} asks {len(asked)} clients, the suite {size}."
    full = len(by_round) == federation.rounds and all(len(asked) == size for asked in by_round.values())
    if record.status == "done" and full and not _one_by_one(record):
        schedule = [sorted(by_round[i]) for i in sorted(by_round)]
        if digest(json.dumps(schedule)) != record.digests.cohort:
            yield f"its clients are not those of `digests.cohort` in {RESULTS}. One of them was changed."


def _one_by_one(record: Record) -> bool:
    """Whether its rounds are arrivals, which are not the cohorts that were drawn."""
    return record.status == "done" and record.clock is not None and record.clock.one_by_one
