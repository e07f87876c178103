"""Properties that hold for whatever comes in."""

# ruff: noqa: E501 - strategies and tables, one line each
from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
import torch
from fedgen_bench_plugins.tables.csv_table import cell
from fedgen_bench_plugins.tables.markdown import escape
from hypothesis import given, settings
from hypothesis import strategies as st

from fedgen_bench import Update, weighted_mean
from fedgen_bench.base.errors import UsageError, WireError
from fedgen_bench.base.safe_text import one_line
from fedgen_bench.contract.data import UnitTable
from fedgen_bench.contract.messages import Header
from fedgen_bench.contract.specs import SuiteSource
from fedgen_bench.federation import gate, wire
from fedgen_bench.federation.statecodec import decode_state, encode_state
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.suite.load import load_suite
from fedgen_bench.testing import toy
from fedgen_bench.testing.bits import fingerprint, same_bits
from fedgen_bench.testing.partitioners import assert_valid

few = settings(max_examples=60, derandomize=True, database=None)
DTYPES = sorted(wire.TRAVELLING, key=str)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda name: name != "__metadata__"
)
REGISTRY = load_registry([toy.__file__], environ={})


@st.composite
def tensors(draw, dtypes=DTYPES):
    """Any bits of any shape and type that travels."""
    dtype = draw(st.sampled_from(dtypes))
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    n = int(np.prod(shape, dtype=int))
    if dtype == torch.bool:
        return torch.tensor(draw(st.lists(st.booleans(), min_size=n, max_size=n)), dtype=dtype).reshape(shape)
    raw = draw(st.binary(min_size=n * dtype.itemsize, max_size=n * dtype.itemsize))
    flat = torch.frombuffer(bytearray(raw), dtype=dtype) if raw else torch.empty(0, dtype=dtype)
    return flat.reshape(shape)


MAPS = st.dictionaries(NAMES, tensors(), max_size=4)
COUNTS = st.integers(0, 2**40)


@few
@given(MAPS, COUNTS, COUNTS, COUNTS)
def test_wire_round_trip_keeps_every_bit(content, round_index, client_id, n_examples):
    header = Header(round_index, client_id, n_examples)
    message = wire.encode(content, header)
    got_header, got = wire.decode(message)
    entry = wire.book(message, header, "up")
    assert got_header == header
    assert same_bits(got, content)
    assert entry.encoded_bytes == len(message)
    assert entry.tensor_bytes == wire.tensor_bytes(content)


EXPECTED = {"a": torch.zeros(2, 3), "b": torch.zeros(4)}
ASKED = Header(5, 2, 100)
HONEST = wire.encode({"a": torch.ones(2, 3), "b": torch.ones(4)}, Header(5, 2, 9))


def assert_admits_or_refuses(message):
    try:
        got = gate.admit(message, expected=EXPECTED, header=ASKED).tensors
        gate.check_values(got, {}, 1e6)
    except WireError:
        return
    assert wire.layout_of(got) == wire.layout_of(EXPECTED)
    assert all(bool(torch.isfinite(tensor).all()) for tensor in got.values())


@few
@given(st.binary(max_size=300))
def test_admit_raises_nothing_but_wire_errors_on_bytes(content):
    assert_admits_or_refuses(content)
    assert_admits_or_refuses(len(content).to_bytes(8, "little") + content)


@settings(few, max_examples=300)
@given(st.integers(0, len(HONEST) - 1), st.binary(max_size=6), st.integers(0, 6))
def test_admit_raises_nothing_but_wire_errors_on_mutated_messages(at, inserted, dropped):
    assert_admits_or_refuses(HONEST[:at] + inserted + HONEST[at + dropped :])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "fedgen", "shape", "dtype"]), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@few
@given(st.dictionaries(st.sampled_from(["a", "b", "__metadata__"]), JSON, max_size=3))
def test_admit_raises_nothing_but_wire_errors_on_any_header(table):

    text = json.dumps(table).encode()
    assert_admits_or_refuses(len(text).to_bytes(8, "little") + text + bytes(40))


@few
@given(
    st.lists(
        st.tuples(st.floats(-1e3, 1e3, width=32), st.floats(-1e3, 1e3, width=32), st.integers(1, 10**6)),
        min_size=1,
        max_size=12,
    )
)
def test_weighted_mean_agrees_with_float64(clients):
    got = weighted_mean(Update({"w": torch.tensor([a, b])}, n) for a, b, n in clients)["w"]
    values, sizes = np.array([[a, b] for a, b, _ in clients]), np.array([n for *_, n in clients], dtype=float)
    exact = (values * sizes[:, None]).sum(axis=0) / sizes.sum()
    # Each of the k lerps rounds a few times at the scale of its largest operand; float32 has a unit of 6e-8.
    bound = len(clients) * 4 * 6e-8 * max(1e-30, float(np.abs(values).max()))
    assert np.abs(got.double().numpy() - exact).max() <= bound


@few
@given(
    st.sampled_from(["iid", "contiguous", "quantity", "dirichlet", "pathological"]),
    st.integers(1, 60), st.integers(1, 15), st.integers(1, 8), st.integers(0, 2**32),
)  # fmt: skip
def test_partitioners_split_any_sizes_without_loss(name, n_units, n_clients, n_labels, key):
    spec = REGISTRY.get("partitioner", name).spec
    rng = np.random.Generator(np.random.Philox(key=key))
    units = UnitTable(n_units, {"label": rng.integers(n_labels, size=n_units)})
    parts = spec.build(spec.params()).split(units, n_clients, rng)
    assert_valid(parts, n_units, n_clients)
    assert sum(map(len, parts)) == n_units


def assert_loads_or_refuses(text, overrides=()):
    try:
        load_suite(SuiteSource(name="x", text=text, path="x.toml"), REGISTRY, overrides)
    except UsageError:
        return


PATHS = st.lists(
    st.sampled_from(["federation", "rounds", "contender", "fedavg", "seeds", "leaderboard", "params", "task", "tuning", "grid", "0", ""]),
    min_size=1, max_size=4,
).map(".".join)  # fmt: skip
VALUES = st.sampled_from(
    ["1", "-1", "nan", "[1]", "{}", "{a = 1}", "2020-01-01", "", "'x'", "[[[", "true", "1e999"]
) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@settings(few, max_examples=150)
@given(st.lists(st.tuples(PATHS, VALUES), min_size=1, max_size=3))
def test_suite_overrides_raise_nothing_but_usage_errors(pairs):
    assert_loads_or_refuses(toy.SUITE, [f"{path}={value}" for path, value in pairs])


@settings(few, max_examples=150)
@given(
    st.integers(0, len(toy.SUITE) - 1),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    st.integers(0, 12),
)
def test_suite_text_raises_nothing_but_usage_errors(at, inserted, dropped):
    assert_loads_or_refuses(toy.SUITE[:at] + inserted + toy.SUITE[at + dropped :])


STATES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6) | tensors(),
    lambda inner: st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple) | st.dictionaries(NAMES | st.integers(), inner, max_size=3),
    max_leaves=10,
)  # fmt: skip


@few
@given(STATES)
def test_state_round_trip_keeps_everything(state):
    assert fingerprint(decode_state(encode_state(state), state)) == fingerprint(state)


@few
@given(st.text(max_size=20))
def test_csv_cell_never_starts_a_formula_and_reads_back(text):
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerow([cell(text), "next"])
    (row,) = list(csv.reader(io.StringIO(out.getvalue(), newline="")))
    assert row[1] == "next"
    assert row[0].lstrip("'") == one_line(text).lstrip("'")
    assert not row[0].startswith(("=", "+", "-", "@", "\t", "\r"))


@few
@given(st.text(st.sampled_from("a|\\\n\r<>&`[]()!\u2028 "), max_size=12))
def test_markdown_cell_stays_one_cell(text):
    shown = escape(text)
    assert len(shown.splitlines()) <= 1
    assert "<" not in shown
    backslashes = 0
    for sign in shown:
        if sign == "|":
            assert backslashes % 2 == 1, shown  # an odd number of backslashes before it: it is text
        backslashes = backslashes + 1 if sign == "\\" else 0


def test_strategies_of_this_file_reach_both_outcomes_of_admit():
    assert gate.admit(HONEST, expected=EXPECTED, header=ASKED).tensors
    with pytest.raises(WireError):
        gate.admit(HONEST[:-1], expected=EXPECTED, header=ASKED)
