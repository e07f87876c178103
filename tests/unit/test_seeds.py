from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
import torch

from fedgen_bench.contract.seeds import STREAMS, SeedTree, digest, seeded_globals
from fedgen_bench.federation.batches import FitStreams, batch_order, order_digest
from fedgen_bench.federation.client_evaluation import evaluated_clients
from fedgen_bench.federation.final_result import tensors_digest

TREE = SeedTree("task", "adapter", "partitioner", "strategy", 1)
# The published table: which axes each stream sees. A change here changes every result.
AXES = {
    "split": {"task", "partitioner", "seed"},
    "cohort": {"task", "partitioner", "seed", "round"},
    "adapter": {"task", "adapter", "seed"},
    "batches": {"task", "partitioner", "seed", "round", "client"},
    "devices": {"task", "partitioner", "seed", "round", "client"},
    "evaluation": {"task", "seed"},
    "strategy": {"task", "adapter", "partitioner", "seed", "round", "client", "strategy"},
    "secrets": {"task", "partitioner", "seed"},
    "mechanism": {"task", "adapter", "partitioner", "seed", "round", "client", "strategy", "mechanism"},
}
ALL_AXES = ("task", "adapter", "partitioner", "strategy", "seed", "round", "client", "mechanism")


def key_with(stream, changed):
    tree = TREE if changed in {"round", "client"} else replace(TREE, **{changed: 2 if changed == "seed" else "other"})
    return tree.key(stream, round_index=4 if changed == "round" else 3, client_id=6 if changed == "client" else 5)


def test_streams_are_the_published_ones():
    assert {name: set(axes) for name, axes in STREAMS.items()} == AXES


@pytest.mark.parametrize("axis", ALL_AXES)
@pytest.mark.parametrize("stream", AXES)
def test_key_depends_on_exactly_its_axes(stream, axis):
    base = TREE.key(stream, round_index=3, client_id=5)
    assert (key_with(stream, axis) != base) is (axis in AXES[stream])


def test_key_is_the_hash_of_named_axes():
    # The scheme, written out: what is hashed is this text, and what is taken is its first 16 bytes, little-endian.
    text = b'["cohort", "", ["task", "task"], ["partitioner", "partitioner"], ["seed", 1], ["round", 3]]'
    assert TREE.key("cohort", round_index=3) == int.from_bytes(hashlib.sha256(text).digest()[:16], "little")


def test_key_depends_on_purpose_and_stream():
    keys = {TREE.key(stream, purpose=purpose) for stream in STREAMS for purpose in ("", "a", "b")}
    assert len(keys) == 3 * len(STREAMS)


def test_key_of_unknown_stream_raises():
    with pytest.raises(KeyError):
        TREE.key("splits")


def test_generators_repeat_and_are_independent_objects():
    first = TREE.numpy("split").random(4)
    assert first.tobytes() == TREE.numpy("split").random(4).tobytes()
    assert torch.equal(torch.randn(4, generator=TREE.torch("adapter")), torch.randn(4, generator=TREE.torch("adapter")))


def streams_of(experiment):
    place = FitStreams(experiment.context(0, 0, {}).seeds, 2, 1)
    order = batch_order(9, 4, 5, place.seeds.numpy("batches", round_index=2, client_id=1, purpose=place.purpose))
    return {
        "split": experiment.population.partition_digest,
        "cohort": experiment.population.schedule_digest,
        "adapter": tensors_digest(experiment.start),
        "batches": order_digest(order),
        "evaluation": evaluated_clients(experiment),
    }


def test_swapping_the_strategy_leaves_the_paired_streams_byte_equal(toy_experiment):
    ours, theirs = toy_experiment("fedgen_edge"), toy_experiment("fedavg")
    assert type(ours.strategy) is not type(theirs.strategy)
    assert streams_of(ours) == streams_of(theirs)
    noise = [one.context(0, 1, {}).generator().initial_seed() for one in (ours, theirs)]
    assert noise[0] != noise[1]


def test_swapping_the_seed_changes_every_stream_that_draws(toy_experiment):
    ours, theirs = streams_of(toy_experiment("fedavg")), streams_of(toy_experiment("fedavg", seed=2))
    assert {name for name in ours if ours[name] != theirs[name]} >= {"split", "cohort", "batches"}


def test_cohorts_differ_between_rounds(toy_experiment):
    schedule = list(toy_experiment("fedavg", "federation.rounds=12").population.cohorts())
    assert len(set(schedule)) > 1
    assert all(list(cohort) == sorted(set(cohort)) and len(cohort) == 3 for cohort in schedule)


def test_rounds_do_not_depend_on_how_many_there_are(toy_experiment):
    short, long = (list(toy_experiment("fedavg", f"federation.rounds={n}").population.cohorts()) for n in (3, 9))
    assert long[:3] == short


def test_seeded_globals_seed_inside_and_restore_after():
    before = torch.random.get_rng_state()
    with seeded_globals(5):
        first = torch.rand(3)
    with seeded_globals(5):
        second = torch.rand(3)
    assert torch.equal(first, second)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_digest_keeps_parts_apart():
    assert digest("ab", "c") != digest("a", "bc")
    assert digest("ab") == digest(b"ab")


def test_seeded_globals_seed_and_put_back_without_a_word_to_devices_that_are_not_in_use(monkeypatch):
    def odd(*_):
        raise AssertionError("a call was put off until CUDA is in use")

    monkeypatch.setattr(torch.cuda, "_lazy_call", odd)
    before = torch.random.get_rng_state()
    drawn = []
    for _ in range(2):
        with seeded_globals(7):
            drawn.append(torch.rand(3).tolist())
        assert torch.equal(torch.random.get_rng_state(), before)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(7)
        assert drawn == [torch.rand(3).tolist()] * 2
