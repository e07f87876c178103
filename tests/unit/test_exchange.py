"""One exchange with a client, both ways: the bytes, what the gate is told, and what stays with the client."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from fedgen_bench_plugins.compressors.fp16 import FP16

from fedgen_bench import ClientContext, NoParams, Payload, SeedTree
from fedgen_bench.base.errors import PluginError, WireError
from fedgen_bench.contract.engines import ClientOutcome
from fedgen_bench.contract.messages import Header
from fedgen_bench.federation import wire
from fedgen_bench.federation.compression import Chain, Uplink
from fedgen_bench.federation.exchange import begin
from fedgen_bench.federation.link import Link
from fedgen_bench.federation.merges import n_merges_in, split_merges
from fedgen_bench.testing.bits import same_bits

X = {"x": torch.tensor([1.0, 2.0, 3.0])}
MERGES = ({"a": torch.ones(2)}, {"a": torch.full((2,), 5.0)})
CTX = ClientContext(
    round_index=4,
    client_id=7,
    n_clients=9,
    n_examples=20,
    start=X,
    keep={},
    local_steps=1,
    learning_rate=0.1,
    seeds=SeedTree("t", "a", "p", "s", 1),
    kept_in=2,
)


def answer(tensors, n_examples=20):
    message = wire.encode(tensors, Header(4, 7, n_examples)) if tensors else None
    return ClientOutcome(client_id=7, message=message, n_examples=n_examples, keep=None, mean_loss=0.0, batch_digest="")


def test_exchange_books_the_encoding_and_holds_the_answer_against_what_was_sent():
    task, exchange = begin(Link(), Payload(X), CTX, {"own": torch.ones(1)})
    assert (task.round_index, task.client_id, task.kept_in, set(task.keep)) == (4, 7, 2, {"own"})
    assert exchange.down == wire.book(task.message, Header(4, 7, 20), "down")
    assert exchange.down.encoded_bytes == len(task.message)
    assert exchange.down.tensor_bytes == 12
    outcome = answer({"x": X["x"] + 1})
    assert exchange.booked(outcome).direction == "up"
    assert exchange.admitted(outcome, "Local.run")[0].tensors["x"].tolist() == [2.0, 3.0, 4.0]
    assert len(outcome.message) == len(exchange.reply_like())


def test_exchange_without_a_payload_asks_for_nothing():
    task, exchange = begin(Link(), None, CTX, {})
    assert task.message is None
    assert exchange.down is None
    assert exchange.booked(answer({})) is None
    assert exchange.admitted(answer({}), "Local.run")[0].tensors == {}
    with pytest.raises(WireError, match="was not asked for"):
        exchange.admitted(answer(X), "Local.run")
    with pytest.raises(WireError, match="Example count 21 is not within 1 to 20"):
        exchange.admitted(answer({}, 21), "Local.run")


def test_exchange_sends_the_merges_that_a_client_lacks_and_counts_them():
    task, exchange = begin(Link(), Payload(X, merges=MERGES[:1]), CTX, {})
    keep = exchange.kept(answer(X), lambda _: {})
    assert n_merges_in(keep) == 1
    task, exchange = begin(Link(), Payload(X, merges=MERGES), CTX, keep)
    tensors, merges = split_merges(wire.decode(task.message)[1])
    assert same_bits(tensors, X)
    assert [one["a"].tolist() for one in merges] == [[5.0, 5.0]]
    assert [one["a"].tolist() for one in task.merges] == [[1.0, 1.0]]
    assert n_merges_in(exchange.kept(answer(X), lambda _: keep)) == 2


def test_exchange_compresses_both_ways_and_compares_with_what_arrived():
    half = Chain((FP16(NoParams()),))
    sent = {"x": torch.tensor([1 + 2**-12, 2.0, 3.0])}
    task, exchange = begin(Link(downlink=half, uplink=Uplink(half)), Payload(sent), CTX, {})
    assert exchange.down.tensor_bytes == 6
    assert exchange.received["x"].tolist() == [1.0, 2.0, 3.0]
    assert task.like["x"].dtype == torch.float32
    packed, _ = exchange.link.uplink.pack({"x": torch.tensor([1.5, 2.0, 3.0])}, exchange.received, {})
    assert exchange.admitted(answer(packed), "Local.run")[0].tensors["x"].tolist() == [1.5, 2.0, 3.0]


def test_gate_judges_values_only_of_what_was_trained():
    _, exchange = begin(Link(max_update_norm=1.0), Payload(X), CTX, {})
    far = answer({"x": X["x"] + 10})
    assert exchange.opened(far, "ClientWork.run").n_examples == 20
    with pytest.raises(WireError, match=r"The norm of the change is 17\.32, at most 1 is allowed"):
        exchange.admitted(far, "Local.run")


def test_outcome_that_contradicts_its_message_names_who_gave_it():
    _, exchange = begin(Link(), Payload(X), CTX, {})
    with pytest.raises(PluginError, match=r"Odd\.run says that client 7 trained on 3 examples, its message says 20"):
        exchange.admitted(dataclasses.replace(answer(X), n_examples=3), "Odd.run")
