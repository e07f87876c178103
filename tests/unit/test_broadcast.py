"""What several clients are sent alike: encoded once, shared, and found out when one of them writes into it."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from fedgen_bench_plugins.compressors.fp16 import FP16

from fedgen_bench import NoParams, Payload
from fedgen_bench.base.errors import PluginError
from fedgen_bench.contract.messages import Header
from fedgen_bench.federation import wire
from fedgen_bench.federation.broadcast import Broadcast
from fedgen_bench.federation.compression import Chain
from fedgen_bench.federation.link import Link

MERGES = ({"a": torch.ones(2)}, {"a": torch.full((2,), 5.0)})


def tensors():
    return {"x": torch.tensor([1.0, 2.0, 3.0]), "n": torch.tensor([1, 2])}


@pytest.mark.parametrize("link", [Link(), Link(downlink=Chain((FP16(NoParams()),)))], ids=["plain", "fp16"])
def test_one_payload_is_encoded_once_and_every_message_is_whole(link):
    broadcast, state = Broadcast(link), tensors()
    first, second = (broadcast.sent(Payload(dict(state)), 0) for _ in range(2))
    assert second is first
    header = Header(3, 11, 400)
    packed = link.downlink.compress(state)
    assert bytes(wire.addressed(first.laid_out, first.body, header)) == wire.encode(packed, header)


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state["x"].add_(1),
        lambda state: state.update(x=state["x"].clone()),
        lambda state: state.update(y=state.pop("x")),
    ],
)
def test_a_payload_that_is_another_is_encoded_anew(change):
    broadcast, state = Broadcast(Link()), tensors()
    first = broadcast.sent(Payload(dict(state)), 0)
    change(state)
    second = broadcast.sent(Payload(dict(state)), 0)
    assert second is not first
    assert bytes(wire.addressed(second.laid_out, second.body, Header(0, 0, 1))) == wire.encode(state, Header(0, 0, 1))


def test_clients_that_lack_other_merges_or_owe_other_replies_get_their_own():
    broadcast, state = Broadcast(Link()), tensors()
    payload = Payload(state, merges=MERGES)
    all_of_them, one = broadcast.sent(payload, 0), broadcast.sent(payload, 1)
    assert len(all_of_them.body) == len(one.body) + 8
    small = broadcast.sent(dataclasses.replace(payload, reply={"y": torch.zeros(4)}), 1)
    assert {name: tuple(like.shape) for name, like in small.reply.items()} == {"y": (4,)}


def test_tensors_without_counters_are_encoded_every_time():
    with torch.inference_mode():
        state = {"x": torch.ones(2)}
    broadcast = Broadcast(Link())
    assert broadcast.sent(Payload(state), 0) is not broadcast.sent(Payload(state), 0)


def test_a_client_that_writes_into_what_others_received_is_told():
    broadcast, state = Broadcast(Link()), tensors()
    sent = [broadcast.sent(Payload(state), 0) for _ in range(2)]
    broadcast.check()
    received = wire.decode(wire.addressed(sent[0].laid_out, sent[0].body, Header(0, 0, 1)))[1]
    received["x"].data.mul_(2)
    with pytest.raises(PluginError, match="were written to past torch's counters"):
        broadcast.check()
    with pytest.raises(PluginError, match="were written to past torch's counters"):
        broadcast.sent(Payload(tensors()), 0)
