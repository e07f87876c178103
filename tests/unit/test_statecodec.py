from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from fedgen_bench.base.errors import PluginError, StoreError
from fedgen_bench.federation.statecodec import decode_state, encode_state
from fedgen_bench.testing.bits import fingerprint


@dataclass(frozen=True)
class Inner:
    v: Any


@dataclass(frozen=True)
class State:
    tensors: dict = field(default_factory=dict)
    inner: Inner | None = None
    items: tuple = ()
    note: Any = None


FULL = State(
    {"a": torch.tensor([1.0, -0.0, float("nan")]), "b": torch.tensor(3, dtype=torch.int64)},
    Inner(torch.ones(2, 2, dtype=torch.bfloat16)),
    (1, [torch.zeros(0), {"x": None}], "text é", True),
    {"numbers": {1: 0.1, 2: -7}, "big": 2**70},
)


def test_state_round_trip_keeps_everything():
    assert fingerprint(decode_state(encode_state(FULL), FULL)) == fingerprint(FULL)


def test_state_round_trip_needs_only_the_types_of_like():
    like = State(inner=Inner(torch.zeros(1)))
    assert fingerprint(decode_state(encode_state(FULL), like)) == fingerprint(FULL)


def test_state_encoding_is_stable():
    assert encode_state(FULL) == encode_state(decode_state(encode_state(FULL), FULL))


def test_state_keeps_apart_what_separators_would_confuse():
    state = {
        "a/b": torch.tensor([1.0]),
        "a": {"b": torch.tensor([2.0])},
        1: torch.tensor([3.0]),
        "1": torch.tensor([4.0]),
    }
    assert fingerprint(decode_state(encode_state(state), state)) == fingerprint(state)


def test_state_may_hold_one_tensor_twice_and_views():
    shared = torch.arange(6.0)
    state = State({"x": shared, "y": shared, "view": shared[2:4]})
    assert fingerprint(decode_state(encode_state(state), state)) == fingerprint(state)


@pytest.mark.parametrize("value", [object(), {1, 2}, lambda: 0, b"bytes", {("a", 1): 2}, torch.Generator()])
def test_encode_refuses_what_cannot_be_stored(value):
    with pytest.raises(PluginError, match="at `/note`"):
        encode_state(State(note=value))


@pytest.mark.parametrize("content", [b"", b"\0" * 8, b"junk" * 10, encode_state(FULL)[:-1]])
def test_decode_of_something_else_raises(content):
    with pytest.raises(StoreError, match="checkpoint cannot be read"):
        decode_state(content, FULL)


def test_decode_into_another_type_raises():
    with pytest.raises(StoreError):
        decode_state(encode_state(FULL), Inner(1))
