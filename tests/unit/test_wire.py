# ruff: noqa: E501 - strategies and tables, one line each
from __future__ import annotations

import json
import pickle

import pytest
import torch
from safetensors.torch import save

from fedgen_bench.base.errors import WireError
from fedgen_bench.contract.messages import Header
from fedgen_bench.federation import gate, pieces, wire
from fedgen_bench.testing.bits import same_bits

EXPECTED = {"a": torch.zeros(2, 3), "b": torch.zeros(4)}
GOOD = {"a": torch.ones(2, 3), "b": torch.arange(4.0)}
ASKED = Header(5, 2, 100)


def admit(message, max_norm=None, sent=None):
    tensors = gate.admit(message, expected=EXPECTED, header=ASKED).tensors
    gate.check_values(tensors, sent or {}, max_norm)
    return tensors


def code_of(message, **more):
    with pytest.raises(WireError) as caught:
        admit(message, **more)
    return caught.value.code


def raw_message(table, body):
    """A message with any header."""
    text = table if isinstance(table, bytes) else json.dumps(table).encode()
    return len(text).to_bytes(8, "little") + text + body


def layout_with(**changed):
    meta = {"fedgen": json.dumps({"round": 5, "client": 2, "n_examples": 9})}
    table = {
        "__metadata__": meta,
        "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "b": {"dtype": "F32", "shape": [4], "data_offsets": [24, 40]},
    }
    return table | changed


def test_encode_round_trip_keeps_header_and_bits():
    header, tensors = wire.decode(wire.encode(GOOD, Header(5, 2, 9)))
    assert header == Header(5, 2, 9)
    assert same_bits(tensors, GOOD)


def test_encode_sends_views_ties_and_transposes_as_what_they_show():
    base = torch.arange(6.0).reshape(2, 3)
    tensors = {"base": base, "row": base[1], "turned": base.T, "tied": base, "grown": base.clone().requires_grad_()}
    message = wire.encode(tensors, Header(0, 0, 1))
    assert same_bits(wire.decode(message)[1], {name: one.detach() for name, one in tensors.items()})
    assert wire.book(message, Header(0, 0, 1), "up").tensor_bytes == wire.tensor_bytes(tensors)


def test_decoded_tensors_are_views_of_the_message_apart_from_each_other_and_from_the_sender():
    tensors = {"a": torch.zeros(2), "b": torch.zeros(2)}
    message = wire.encode(tensors, Header(0, 0, 1))
    first, again = wire.decode(message)[1], wire.decode(message)[1]
    first["a"].add_(1.0)
    assert again["a"].tolist() == [1.0, 1.0]
    assert [one.tolist() for one in (again["b"], *tensors.values())] == [[0.0, 0.0]] * 3
    assert (first["a"]._version, first["b"]._version) == (1, 0), "one's counter moves with another's"


@pytest.mark.parametrize(
    "tensors",
    [
        {f"t{i}": torch.arange(6).to(dtype).reshape(2, 3) for i, dtype in enumerate(reversed(pieces.DTYPES))},
        {'z\x7f\x01é\u2028😀"': torch.zeros(0, 3), "a": torch.tensor(3.0), "__b": torch.ones(1, dtype=torch.bool)},
        {},
    ],
)
@pytest.mark.parametrize("metadata", [{}, {"fedgen": '{"round":1}\n\té'}])
def test_pieces_are_the_bytes_of_safetensors(tensors, metadata):
    assert pieces.pieces(tensors).whole(**metadata) == save(tensors, metadata=metadata or None)


def test_message_in_two_parts_is_the_one_in_one_piece():
    laid_out, header = pieces.pieces(GOOD), Header(5, 2, 9)
    message = wire.addressed(laid_out, b"".join(laid_out.body), header)
    assert bytes(message) == wire.encode(GOOD, header)
    assert wire.book(message, header, "down") == wire.book(bytes(message), header, "down")
    assert same_bits(wire.decode(message)[1], GOOD)


def test_book_splits_the_length_into_tensors_and_header():
    # 6 + 4 numbers of 4 bytes; the header is its 8-byte length and as many bytes of JSON as that says.
    message = wire.encode(GOOD, Header(5, 2, 9))
    entry = wire.book(message, Header(5, 2, 9), "up")
    assert entry.tensor_bytes == 40
    assert entry.header_bytes == 8 + int.from_bytes(message[:8], "little")
    assert entry.encoded_bytes == len(message) == entry.tensor_bytes + entry.header_bytes
    assert (entry.round_index, entry.client_id, entry.direction, entry.phase) == (5, 2, "up", "fit")


def test_encode_refuses_nothing_and_sends_nothing():
    header, tensors = wire.decode(wire.encode({}, Header(1, 2, 3)))
    assert (header, tensors) == (Header(1, 2, 3), {})


def test_admit_lets_an_honest_update_through():
    assert same_bits(admit(wire.encode(GOOD, Header(5, 2, 100))), GOOD)


def test_admit_does_not_mind_the_order_of_names():
    turned = dict(reversed(list(GOOD.items())))
    assert same_bits(admit(wire.encode(turned, Header(5, 2, 1))), GOOD)


HOSTILE_TENSORS = {
    "all NaN": ({"a": torch.full((2, 3), torch.nan)}, "not_finite"),
    "one NaN": ({"b": torch.tensor([0.0, 1.0, torch.nan, 3.0])}, "not_finite"),
    "infinity": ({"b": torch.tensor([0.0, torch.inf, 0.0, 0.0])}, "not_finite"),
    "minus infinity": ({"b": torch.tensor([0.0, -torch.inf, 0.0, 0.0])}, "not_finite"),
    "1e30": ({"a": torch.full((2, 3), 1e30)}, "norm"),
    "broadcastable shape": ({"a": torch.ones(1, 3)}, "shape"),
    "scalar": ({"b": torch.tensor(1.0)}, "shape"),
    "wrong rank": ({"a": torch.ones(6)}, "shape"),
    "transposed": ({"a": torch.ones(3, 2)}, "shape"),
    "empty": ({"b": torch.ones(0)}, "shape"),
    "complex": ({"a": torch.ones(2, 3, dtype=torch.complex64)}, "dtype"),
    "integer": ({"a": torch.ones(2, 3, dtype=torch.int32)}, "dtype"),
    "float64": ({"a": torch.ones(2, 3, dtype=torch.float64)}, "dtype"),
    "float16": ({"a": torch.ones(2, 3, dtype=torch.float16)}, "dtype"),
    "boolean": ({"b": torch.ones(4, dtype=torch.bool)}, "dtype"),
    "extra key": ({"c": torch.ones(1)}, "unknown_key"),
    "oversized": ({"c": torch.zeros(1 << 16)}, "oversized"),
}


@pytest.mark.parametrize("kind", HOSTILE_TENSORS)
def test_admit_refuses_hostile_tensors(kind):
    changed, code = HOSTILE_TENSORS[kind]
    assert code_of(wire.encode(GOOD | changed, Header(5, 2, 9)), max_norm=1e3) == code


@pytest.mark.parametrize("name", ["a", "b"])
def test_admit_refuses_a_missing_key(name):
    left = {key: one for key, one in GOOD.items() if key != name}
    assert code_of(wire.encode(left, Header(5, 2, 9))) == "missing_key"


def test_admit_refuses_a_renamed_key():
    renamed = {"a": GOOD["a"], "B": GOOD["b"]}
    assert code_of(wire.encode(renamed, Header(5, 2, 9))) in {"missing_key", "unknown_key"}


@pytest.mark.parametrize(
    ("n_examples", "code"),
    [
        (-1, "n_examples"), (0, "n_examples"), (101, "n_examples"), (10**18, "n_examples"), (float("nan"), "header_types"),
        (float("inf"), "header_types"), (1.5, "header_types"), (1e18, "header_types"), (True, "header_types"), ("7", "header_types"),
        (None, "header_types"),
    ],
)  # fmt: skip
def test_admit_refuses_wrong_example_counts(n_examples, code):
    assert code_of(wire.encode(GOOD, Header(5, 2, n_examples))) == code


def test_admit_refuses_a_stale_round_and_another_client():
    assert code_of(wire.encode(GOOD, Header(4, 2, 9))) == "wrong_round"
    assert code_of(wire.encode(GOOD, Header(5, 3, 9))) == "wrong_client"


def test_admit_refuses_every_truncation():
    message = wire.encode(GOOD, Header(5, 2, 9))
    assert {code_of(message[:end]) for end in range(len(message))} == {"malformed"}


def test_admit_refuses_trailing_bytes():
    assert code_of(wire.encode(GOOD, Header(5, 2, 9)) + b"\0") == "malformed"


def test_admit_refuses_a_pickle():
    assert code_of(pickle.dumps(GOOD)) == "malformed"


def test_admit_refuses_a_plain_safetensors_file():
    assert code_of(save(GOOD)) == "malformed"


LYING = {
    "shape larger than the data": layout_with(a={"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 20]}),
    "overlap": layout_with(b={"dtype": "F32", "shape": [4], "data_offsets": [8, 24]}),
    "hole": layout_with(b={"dtype": "F32", "shape": [4], "data_offsets": [25, 41]}),
    "backwards": layout_with(a={"dtype": "F32", "shape": [2, 3], "data_offsets": [24, 0]}),
    "negative": layout_with(a={"dtype": "F32", "shape": [2, 3], "data_offsets": [-24, 0]}),
    "beyond the end": layout_with(b={"dtype": "F32", "shape": [4], "data_offsets": [24, 2**62]}),
    "no offsets": layout_with(b={"dtype": "F32", "shape": [4]}),
    "list for a tensor": layout_with(b=[1, 2]),
    "metadata missing": {"a": layout_with()["a"], "b": layout_with()["b"]},
    "metadata not JSON": layout_with(__metadata__={"fedgen": "{"}),
    "metadata a list": layout_with(__metadata__={"fedgen": "[1]"}),
    "not a table": [1, 2, 3],
    "a number": 5,
}


@pytest.mark.parametrize("kind", LYING)
def test_admit_refuses_lying_layouts(kind):
    assert code_of(raw_message(LYING[kind], bytes(40))) == "malformed"


@pytest.mark.parametrize(
    "one",
    [
        {"dtype": "F32", "shape": [6], "data_offsets": [1, 25]},  # not aligned
        {"dtype": "F32", "shape": [6, True], "data_offsets": [0, 24]},
        {"dtype": "F31", "shape": [6], "data_offsets": [0, 24]},
        {"dtype": "F32", "shape": [-6, -1], "data_offsets": [0, 24]},
        {"dtype": "F32", "shape": [0, 2**70], "data_offsets": [24, 24]},
        {"dtype": "F32", "shape": ["6"], "data_offsets": [0, 24]},
        {"dtype": "F32", "shape": [6], "data_offsets": None},
    ],
)
def test_decode_refuses_what_no_sender_writes(one):
    start, stop = one["data_offsets"] or (0, 0)
    table = {"__metadata__": layout_with()["__metadata__"], "a": one}
    if start:
        table["b"] = {"dtype": "U8", "shape": [start], "data_offsets": [0, start]}
    with pytest.raises(WireError) as caught:
        wire.decode(raw_message(table, bytes(stop)))
    assert caught.value.code == "malformed"


@pytest.mark.parametrize("header", [b"", b"{", b"\xff\xfe", b"[" * 5000, b'{"a":' + b"9" * 5000 + b"}", b"null"])
def test_admit_refuses_broken_headers(header):
    assert code_of(raw_message(header, b"")) == "malformed"


def test_admit_refuses_a_header_length_beyond_the_message():
    assert code_of((2**63).to_bytes(8, "little") + b"{}") == "malformed"


def test_admit_takes_only_the_layout_that_is_loaded():
    # The same name twice in the JSON: whatever a reader makes of it, nothing but the asked layout may come out.
    one = '"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}'
    two = '"a":{"dtype":"I32","shape":[6],"data_offsets":[0,24]}'
    rest = json.dumps({key: value for key, value in layout_with().items() if key != "a"})[1:-1]
    for first, second in ((one, two), (two, one)):
        message = raw_message(f"{{{first},{second},{rest}}}".encode(), bytes(40))
        try:
            tensors = admit(message)
        except WireError:
            continue
        assert wire.layout_of(tensors) == wire.layout_of(EXPECTED)


def test_admit_bounds_the_norm_over_all_tensors():
    # 3-4-5: a has norm 3, b has norm 4.
    message = wire.encode(
        {"a": torch.tensor([[3.0, 0, 0], [0, 0, 0]]), "b": torch.tensor([0.0, 4, 0, 0])}, Header(5, 2, 9)
    )
    assert code_of(message, max_norm=4.99) == "norm"
    assert admit(message, max_norm=5.01)


def test_layout_of_refuses_what_cannot_travel():
    with pytest.raises(WireError) as caught:
        wire.layout_of({"a": torch.zeros(2, dtype=torch.complex64)})
    assert caught.value.code == "dtype"


@pytest.mark.parametrize("length", [3, 1 << 20, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_no_more_is_booked_than_arrived(length):
    message = length.to_bytes(8, "little") + b"{}" + bytes(20)
    entry = wire.book(message, ASKED, "up")
    assert entry.encoded_bytes == len(message) == entry.tensor_bytes + entry.header_bytes
    assert 0 <= entry.tensor_bytes <= len(message)
    assert wire.book(b"x", ASKED, "up").header_bytes == 1
