from __future__ import annotations

import pytest
import torch

from fedgen_bench.federation.client_states import ClientStates, encode_keeps
from fedgen_bench.testing.bits import same_bits


class Files:
    """Keep files in a folder, as the store keeps them; counts how often one is asked for."""

    def __init__(self, folder):
        self.folder, self.asked = folder, []

    def __call__(self, round_index):
        self.asked.append(round_index)
        return self.folder / f"keep-{round_index}.safetensors"

    def commit(self, store, round_index, keeps):
        """A round; returns the rounds whose files count after it."""
        written = store.written(keeps)
        if written.content is not None:
            self(round_index).write_bytes(written.content)
        store.put(round_index, keeps, written)
        counting = (*written.older, *([] if written.content is None else [round_index]))
        for path in self.folder.iterdir():
            if int(path.stem.removeprefix("keep-")) not in counting:
                path.unlink()
        self.asked.clear()
        return counting


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path)


def state(value, n=4):
    return {"a": torch.full((n,), float(value)), "b": torch.tensor(value)}  # 16 + 8 bytes


def test_keeps_are_empty_before_a_clients_first(files):
    assert ClientStates(files).get(3) == {}


def test_keeps_stay_in_memory_up_to_the_bound(files):
    store = ClientStates(files, bound_bytes=48)
    files.commit(store, 0, {1: state(1), 2: state(2)})
    assert same_bits(store.get(1), state(1))
    assert same_bits(store.get(2), state(2))
    assert files.asked == []


def test_keeps_beyond_the_bound_come_back_from_the_file_that_has_them(files):
    store = ClientStates(files, bound_bytes=48)
    for round_index, keeps in enumerate([{1: state(1), 2: state(2)}, {3: state(3)}, {11: state(11)}]):
        files.commit(store, round_index, keeps)
    assert same_bits(store.get(1), state(1))  # long out of memory
    assert files.asked == [0]
    assert same_bits(store.get(1), state(1))  # back in memory
    assert files.asked == [0]


def test_keeps_hold_no_message_that_a_tensor_is_a_view_of(files):
    message = torch.arange(1000.0)
    store = ClientStates(files)
    files.commit(store, 0, {1: {"a": message[:2]}})
    assert store.get(1)["a"].untyped_storage().nbytes() == 8
    assert store.get(1)["a"].tolist() == [0, 1]


def test_keeps_hold_the_latest_state(files):
    store = ClientStates(files, bound_bytes=24)
    for round_index, keeps in enumerate([{1: state(1)}, {1: state(5)}, {2: state(2)}]):
        counting = files.commit(store, round_index, keeps)
    assert same_bits(store.get(1), state(5))
    assert same_bits(ClientStates(files, counting).get(1), state(5))


def test_keeps_that_were_emptied_stay_empty_after_a_resume(files):
    store = ClientStates(files)
    files.commit(store, 0, {1: state(1, 400), 2: state(2, 400)})
    counting = files.commit(store, 1, {1: {}})
    assert counting == (0, 1)
    assert (store.get(1), ClientStates(files, counting).get(1)) == ({}, {})


def test_keeps_of_clients_with_similar_numbers_stay_apart(files):
    files(0).write_bytes(encode_keeps({1: state(1), 11: state(11), 111: state(111)}))
    store = ClientStates(files, (0,))
    assert all(same_bits(store.get(i), state(i)) for i in (111, 1, 11))


def test_keeps_larger_than_the_bound_are_held_alone(files):
    store = ClientStates(files, bound_bytes=1)
    files.commit(store, 0, {1: state(1)})
    assert same_bits(store.get(1), state(1))
    assert files.asked == []


@pytest.mark.parametrize("n_clients", [7, 100])
def test_keeps_of_many_rounds_are_in_few_files_and_resume_from_any(files, n_clients):
    store, latest = ClientStates(files, bound_bytes=1 << 20), {}
    for round_index in range(120):
        keeps = {(round_index * 5 + i) * 17 % n_clients: state(round_index, 64) for i in range(5)}
        latest |= keeps
        counting = files.commit(store, round_index, keeps)
        assert len(counting) <= 10
        if round_index % 50 == 7:  # killed here
            store = ClientStates(files, counting, bound_bytes=1 << 20)
            assert all(same_bits(store.get(i), keep) for i, keep in latest.items())
    assert len(list(files.folder.iterdir())) <= 10
    assert all(same_bits(ClientStates(files, counting).get(i), latest[i]) for i in list(latest)[:20])
