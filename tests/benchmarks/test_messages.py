"""Encoding, decoding and averaging 5 million parameters, against copying the same bytes."""

from __future__ import annotations

import numpy as np
import torch

from fedgen_bench import weighted_mean
from fedgen_bench.contract.messages import Header, Update
from fedgen_bench.federation import gate, wire
from fedgen_bench.federation.changes import Changes
from fedgen_bench.federation.drift import Drift

N_CLIENTS = 10
HEADER = Header(3, 7, 100)


def five_million(key):
    generator = torch.Generator().manual_seed(key)
    return {f"layer.{i}.weight": torch.randn(500, 500, generator=generator) for i in range(20)}


def memcpy(n_bytes):
    """Copies into memory that is there already."""
    source, target = np.ones(n_bytes, np.uint8), np.ones(n_bytes, np.uint8)
    return lambda: np.copyto(target, source)


def test_encode_against_memcpy(against):
    tensors = five_million(0)
    _, message = against("memcpy", memcpy(wire.tensor_bytes(tensors)), lambda: wire.encode(tensors, HEADER), 40)
    assert wire.book(message, HEADER, "up").tensor_bytes == 4 * 5_000_000


def test_decode_against_memcpy(against):
    tensors = five_million(0)
    message = wire.encode(tensors, HEADER)
    _, (header, decoded) = against("memcpy", memcpy(len(message)), lambda: wire.decode(message), 40)
    assert header == HEADER
    assert all(torch.equal(decoded[name], tensors[name]) for name in tensors)


def through_the_gate(message, tensors):
    admitted = gate.admit(message, expected=tensors, header=HEADER).tensors
    gate.check_values(admitted, {}, None)
    return admitted


def test_admit_against_memcpy(against):
    tensors = five_million(0)
    message = wire.encode(tensors, HEADER)
    copy = memcpy(len(message))
    _, admitted = against("memcpy", copy, lambda: through_the_gate(message, tensors), 40)
    assert all(torch.equal(admitted[name], tensors[name]) for name in tensors)


def test_weighted_mean_of_ten_clients_against_memcpy(against):
    updates = [Update(five_million(k), 10 + k) for k in range(N_CLIENTS)]
    copy = memcpy(wire.tensor_bytes(updates[0].tensors))
    _, mean = against("memcpy of all", lambda: [copy() for _ in updates], lambda: weighted_mean(iter(updates)), 15)
    total = sum(one.n_examples for one in updates)
    expected = sum(one.n_examples / total * one.tensors["layer.3.weight"].double() for one in updates)
    torch.testing.assert_close(mean["layer.3.weight"].double(), expected, rtol=0, atol=1e-6)


def drift_of(updates, received):
    drift = Drift()
    for update in updates:
        drift.add(Changes(update.tensors, received), update.n_examples)
    return drift.summary()


def test_drift_of_ten_clients_against_their_weighted_mean(against):
    updates, received = [Update(five_million(k), 10 + k) for k in range(N_CLIENTS)], five_million(99)
    _, found = against(
        "weighted mean", lambda: weighted_mean(iter(updates)), lambda: drift_of(updates, received), 10, per=N_CLIENTS,
        unit="client",
    )  # fmt: skip
    assert 0 < found["cosine_to_mean"] < 1
