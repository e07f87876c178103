from __future__ import annotations

import torch

from fedgen_bench.keeps import KeepStore, encode_keeps
from fedgen_bench.testing.simulation import same_bits


class Files:
    """Keep files in a folder; counts how often one is read."""

    def __init__(self, folder):
        self.folder, self.asked = folder, []

    def __call__(self, round_index):
        self.asked.append(round_index)
        return self.folder / f"keep-{round_index}.safetensors"

    def write(self, round_index, keeps):
        (self.folder / f"keep-{round_index}.safetensors").write_bytes(encode_keeps(keeps))


def state(value):
    return {"a": torch.full((4,), float(value)), "b": torch.tensor(value)}  # 16 + 8 bytes


def test_keeps_are_empty_before_a_clients_first(tmp_path):
    assert KeepStore(Files(tmp_path), {}).get(3) == {}


def test_keeps_stay_in_memory_up_to_the_bound(tmp_path):
    files = Files(tmp_path)
    store = KeepStore(files, {}, bound_bytes=48)
    store.put(0, {1: state(1), 2: state(2)})
    assert same_bits(store.get(1), state(1))
    assert same_bits(store.get(2), state(2))
    assert files.asked == []


def test_keeps_beyond_the_bound_come_back_from_the_round_that_wrote_them(tmp_path):
    files = Files(tmp_path)
    store = KeepStore(files, {}, bound_bytes=48)
    for round_index, keeps in enumerate([{1: state(1), 2: state(2)}, {3: state(3)}, {11: state(11)}]):
        files.write(round_index, keeps)
        store.put(round_index, keeps)
    assert files.asked == []
    assert same_bits(store.get(1), state(1))  # long out of memory
    assert files.asked == [0]
    assert same_bits(store.get(1), state(1))  # back in memory
    assert files.asked == [0]


def test_keeps_hold_the_latest_state(tmp_path):
    files = Files(tmp_path)
    store = KeepStore(files, {}, bound_bytes=24)
    for round_index, keeps in enumerate([{1: state(1)}, {1: state(5)}, {2: state(2)}]):
        files.write(round_index, keeps)
        store.put(round_index, keeps)
    assert same_bits(store.get(1), state(5))
    assert files.asked == [1]


def test_keeps_of_clients_with_similar_numbers_stay_apart(tmp_path):
    files = Files(tmp_path)
    files.write(0, {1: state(1), 11: state(11), 111: state(111)})
    store = KeepStore(files, dict.fromkeys((1, 11, 111), 0))
    assert all(same_bits(store.get(i), state(i)) for i in (111, 1, 11))


def test_keeps_larger_than_the_bound_are_held_alone(tmp_path):
    files = Files(tmp_path)
    store = KeepStore(files, {}, bound_bytes=1)
    store.put(0, {1: state(1)})
    assert same_bits(store.get(1), state(1))
    assert files.asked == []
