"""Compressors and chains of them: numbers followed by hand, what is booked, what is fed back, what is refused."""

# ruff: noqa: ARG002, ARG005 - protocols name what these pieces do not use
from __future__ import annotations

import dataclasses

import pytest
import torch
from fedgen_bench_plugins.compressors.fp16 import FP16
from fedgen_bench_plugins.compressors.int8 import Int8
from fedgen_bench_plugins.compressors.topk import Params, TopK

from fedgen_bench import NoParams, Payload
from fedgen_bench.base.errors import PluginError, WireError
from fedgen_bench.federation import wire
from fedgen_bench.federation.client_states import ClientStates
from fedgen_bench.federation.compression import Chain, Uplink, layout_like
from fedgen_bench.federation.exchange import begin
from fedgen_bench.federation.round import Round
from fedgen_bench.testing.bits import same_bits

INT8, HALF = Int8(NoParams()), FP16(NoParams())


def topk(fraction, *, feedback=True):
    return TopK(Params(fraction, feedback))


def test_int8_rows_are_the_ones_followed_by_hand():
    # Row 0: scale 254 / 127 = 2, so 254 -> 127, 3 -> 1.5 -> 2 (halves to even), -5 -> -2.5 -> -2. Row 1 is zero.
    x = {"x": torch.tensor([[254.0, 3.0, -5.0], [0.0, 0.0, 0.0]])}
    packed = INT8.compress(x)
    assert packed["x"].tolist() == [[127, 2, -2], [0, 0, 0]]
    assert packed["x"].dtype == torch.int8
    assert packed["x#scale"].tolist() == [2.0, 0.0]
    assert INT8.decompress(packed, x)["x"].tolist() == [[254.0, 4.0, -4.0], [0.0, 0.0, 0.0]]


def test_int8_is_off_by_half_a_step_at_most():
    x = {"x": torch.randn(7, 33, generator=torch.Generator().manual_seed(0))}
    error = (INT8.decompress(INT8.compress(x), x)["x"] - x["x"]).abs()
    assert bool((error <= x["x"].abs().amax(dim=1, keepdim=True) / 127 / 2 + 1e-7).all())


def test_topk_keeps_the_largest_with_their_places():
    x = {"x": torch.tensor([[0.1, -5.0, 2.0], [0.0, 3.0, -0.2]])}
    packed = topk(1 / 3).compress(x)
    assert packed["x#values"].tolist() == [-5.0, 3.0]
    assert packed["x#index"].tolist() == [1, 4]
    restored = topk(1 / 3).decompress(packed, x)["x"]
    assert restored.tolist() == [[0.0, -5.0, 0.0], [0.0, 3.0, 0.0]]


@pytest.mark.parametrize("places", [[1, 6], [-1, 4], [4, 1], [1, 1]])
def test_topk_refuses_places_that_do_not_rise_within_the_tensor(places):
    packed = {"x#values": torch.ones(2), "x#index": torch.tensor(places, dtype=torch.int32)}
    with pytest.raises(WireError, match="cannot be decompressed"):
        Chain((topk(1 / 3),)).decompress(packed, {"x": torch.zeros(2, 3)})


def test_half_precision_rounds_to_eleven_bits():
    x = {"x": torch.tensor([1.0, 1 + 2**-11, 3.0]), "n": torch.tensor([7])}
    packed = HALF.compress(x)
    assert packed["x"].dtype == torch.float16
    assert packed["n"].dtype == torch.int64
    assert HALF.decompress(packed, x)["x"].tolist() == [1.0, 1.0, 3.0]


def test_chain_compresses_what_the_one_before_gave():
    # 8 of 80 entries: values in int8 (8 bytes) with one scale (4), places in int32 (32).
    x = {"x": torch.randn(8, 10, generator=torch.Generator().manual_seed(1))}
    chain = Chain((topk(0.1), INT8))
    packed = chain.compress(x)
    assert wire.tensor_bytes(packed) == 8 + 4 + 32
    assert packed.keys() == chain.layout(x).keys()
    restored = chain.decompress(packed, layout_like(x))["x"]
    kept = restored != 0
    assert int(kept.sum()) == 8
    torch.testing.assert_close(restored[kept], x["x"][kept], rtol=0.02, atol=0.02)


def test_uplink_sends_changes_and_gives_back_values():
    received = {"x": torch.full((4, 4), 100.0)}
    update = {"x": received["x"] + torch.linspace(-1, 1, 16).reshape(4, 4)}
    uplink = Uplink(Chain((INT8,)))
    packed, residual = uplink.pack(update, received, {})
    assert residual == {}
    arrived = uplink.unpack(packed, layout_like(update), received)
    assert float((arrived["x"] - update["x"]).abs().max()) <= 1 / 127 / 2 + 1e-5


def test_uplink_without_compressors_changes_no_bit():
    update = {"x": torch.tensor([1e-8, 3.0])}
    packed, residual = Uplink().pack(update, {"x": torch.tensor([7.0, 1.0])}, {})
    assert same_bits(Uplink().unpack(packed, update, {"x": torch.tensor([7.0, 1.0])}), update)
    assert residual == {}


def test_error_feedback_sends_everything_in_the_end():
    # Changes (4, 1) and then (0, 0): the first message brings the 4, the second what was left of the 1.
    uplink, zero = Uplink(Chain((topk(0.5),))), {"x": torch.zeros(2)}
    first, residual = uplink.pack({"x": torch.tensor([4.0, 1.0])}, zero, {})
    assert residual["x"].tolist() == [0.0, 1.0]
    second, rest = uplink.pack(zero, zero, residual)
    arrived = [uplink.unpack(one, zero, zero)["x"] for one in (first, second)]
    assert sum(arrived).tolist() == [4.0, 1.0]
    assert rest["x"].tolist() == [0.0, 0.0]


class Careless:
    """Forgets the shape of what it packed."""

    error_feedback = False

    def compress(self, tensors):
        return {name: tensor.flatten() for name, tensor in tensors.items()}

    def decompress(self, tensors, like):
        return tensors


def test_compressor_that_does_not_give_back_shapes_is_named():
    with pytest.raises(PluginError, match=r"Careless.decompress gives `x` as torch.float32 of shape \(4,\)"):
        Chain((Careless(),)).decompress({"x": torch.zeros(4)}, {"x": torch.zeros(2, 2)})


def with_link(experiment, **changed):
    return dataclasses.replace(experiment, link=dataclasses.replace(experiment.link, **changed))


def one_round(experiment, states=None):
    class Engine:
        def run(self, tasks, work):
            return map(work.run, tasks)

    state = experiment.strategy.init(experiment.start, experiment.server_context())
    this = Round(
        experiment=experiment,
        index=0,
        state=state,
        work=experiment.work(),
        engine=Engine(),
        keep=(states or ClientStates(None)).get,
        admitted_in={},
    )
    return this.aggregate(), this


def test_round_books_compressed_bytes_and_keeps_the_residual_private(toy_experiment):
    plain = toy_experiment("fedavg")
    compressed = with_link(plain, uplink=Uplink(Chain((topk(0.1),))))
    (exact, before), (state, after) = one_round(plain), one_round(compressed)
    # one of three entries: a value and a place, 8 bytes where 12 were
    assert [one.tensor_bytes for one in before.ledger if one.direction == "up"] == [12] * 3
    assert [one.tensor_bytes for one in after.ledger if one.direction == "up"] == [8] * 3
    assert [one.tensor_bytes for one in after.ledger if one.direction == "down"] == [12] * 3
    assert all(set(keep) == {"#residual/weight"} for keep in after.new_keeps.values())
    assert not same_bits(state.tensors, exact.tensors)
    lost = exact.tensors["weight"] - state.tensors["weight"]
    assert float(lost.norm()) < float(exact.tensors["weight"].norm())


def test_round_gives_the_client_the_decompressed_downlink(toy_experiment):
    plain = toy_experiment("fedavg")
    start = {"weight": torch.tensor([1 + 2**-12, 1.0, 0.0])}
    experiment = with_link(dataclasses.replace(plain, start=start), downlink=Chain((HALF,)))
    _, exchange = begin(experiment.link, Payload(start), experiment.context(0, 0, {}), {})
    assert exchange.received["weight"].tolist() == [1.0, 1.0, 0.0]
    _, progress = one_round(experiment)
    assert [one.tensor_bytes for one in progress.ledger if one.direction == "down"] == [6] * 3


def test_compressed_run_resumes_to_the_same_bits(toy_experiment, tmp_path):
    """Residuals are private state: written with the round and read back from its file."""
    experiment = with_link(toy_experiment("fedavg"), uplink=Uplink(Chain((topk(0.1),))))
    _, progress = one_round(experiment)
    path = tmp_path / "keep"
    held = ClientStates(lambda index: path)
    written = held.written(progress.new_keeps)
    path.write_bytes(written.content)
    held.put(0, progress.new_keeps, written)
    stored = ClientStates(lambda index: path, (0,))
    for client_id in progress.new_keeps:
        assert same_bits(stored.get(client_id), held.get(client_id))
    ours, theirs = one_round(experiment, stored)[0], one_round(experiment, held)[0]
    fresh = one_round(experiment)[0]
    assert same_bits(ours.tensors, theirs.tensors)
    assert not same_bits(ours.tensors, fresh.tensors)
