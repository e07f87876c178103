"""CIFAR-10: parts that never overlap, and the original archive made into the hub's files."""

from __future__ import annotations

import io
import tarfile

import numpy as np
import pyarrow.parquet as pq
import pytest
from fedgen_bench_plugins.datasets import cifar10
from hypothesis import given, settings
from hypothesis import strategies as st

from fedgen_bench.base.errors import DataError

PARTS = ("public", "federation", "valid")
NEEDED = [3500 if one in cifar10.VEHICLES else 500 for one in range(10)]
BATCHES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
N = 2


@settings(max_examples=20)
@given(st.lists(st.integers(0, 200), min_size=10, max_size=10), st.integers(0, 2**32))
def test_parts_are_disjoint_cover_everything_and_have_their_sizes(extra, key):
    counts = np.array(NEEDED) + extra
    labels = np.repeat(np.arange(10), counts)
    np.random.Generator(np.random.Philox(key=key)).shuffle(labels)
    index = {part: cifar10.part_index(labels, part) for part in PARTS}
    assert np.array_equal(np.sort(np.concatenate(list(index.values()))), np.arange(len(labels)))
    assert np.bincount(labels[index["public"]], minlength=10).tolist() == [3000, 3000, *[0] * 6, 3000, 3000]
    assert np.bincount(labels[index["valid"]]).tolist() == [500] * 10
    assert all(np.all(np.diff(one) > 0) for one in index.values())


def test_public_comes_first_and_valid_last_in_every_class():
    labels = np.tile(np.arange(10), 5000)  # image i is the (i // 10)-th of its class
    order = {part: cifar10.part_index(labels, part) // 10 for part in PARTS}
    assert (order["public"].min(), order["public"].max()) == (0, 2999)
    assert (order["valid"].min(), order["valid"].max()) == (4500, 4999)
    vehicles = np.isin(labels[cifar10.part_index(labels, "federation")], cifar10.VEHICLES)
    assert (order["federation"][vehicles].min(), order["federation"].max()) == (3000, 4499)


def test_semi_supervised_pretraining_and_clients_share_the_federation():
    labels = np.tile(np.arange(10), 5000)
    federation, seen, left = (cifar10.part_index(labels, part) for part in ("federation", "unlabelled", "labelled"))
    assert np.array_equal(np.union1d(seen, left), federation)
    assert len(np.intersect1d(seen, left)) == 0
    animals = [label for label in range(10) if label not in cifar10.VEHICLES]
    assert np.unique(labels[seen], return_counts=True)[0].tolist() == animals
    assert (seen // 10).max() == 1999
    # 1,500 of each vehicle are nobody's but clients'; of each animal 4,500 without the 2,000 that were seen
    assert np.bincount(labels[left]).tolist() == [1500, 1500, *[2500] * 6, 1500, 1500]


@pytest.mark.parametrize(("one", "name", "needed"), [(8, "ship", 3500), (3, "cat", 500)])
def test_part_index_refuses_a_class_with_too_few_images(one, name, needed):
    counts = np.array(NEEDED)
    counts[one] -= 1
    labels = np.repeat(np.arange(10), counts)
    with pytest.raises(
        DataError, match=f"{needed - 1} images of class `{name}`; its parts need at least {needed}. Use"
    ):
        cifar10.part_index(labels, "valid")


def records(key, n=N, label=None):
    """n records of a label and 3072 pixels; also as arrays."""
    rng = np.random.Generator(np.random.Philox(key=key))
    labels = rng.integers(0, 10, n, dtype=np.uint8) if label is None else np.full(n, label, np.uint8)
    pixels = rng.integers(0, 256, (n, 3, 32, 32), dtype=np.uint8)
    content = b"".join(bytes([one]) + image.tobytes() for one, image in zip(labels, pixels, strict=True))
    return content, pixels, labels


def pack(path, members):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}.bin")
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return path


def whole():
    return {name: records(key)[0] for key, name in enumerate(BATCHES)}


def test_convert_writes_the_hub_s_files_with_the_batches_in_turn(tmp_path):
    scrambled = dict(sorted(whole().items(), reverse=True))  # the order in the archive does not matter
    cifar10.convert(pack(tmp_path / "a.tar.gz", scrambled), tmp_path, n_per_batch=N)
    _, pixels, labels = zip(*(records(key) for key in range(6)), strict=True)
    train, test = cifar10.read_train(tmp_path), cifar10.read_test(tmp_path)
    assert np.array_equal(train.pixels, np.concatenate(pixels[:5]))
    assert np.array_equal(train.labels, np.concatenate(labels[:5]))
    assert np.array_equal(test.pixels, pixels[5])
    assert np.array_equal(test.labels, labels[5])
    schema = pq.read_schema(tmp_path / cifar10.TRAIN)
    assert [(field.name, str(field.type)) for field in schema] == [
        ("img", "struct<bytes: binary, path: string>"),
        ("label", "int64"),
    ]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"data_batch_3": None}, "data_batch_3.bin"),
        ({"test_batch": records(1, N + 1)[0]}, "test_batch.bin is no file of 6146 bytes"),  # 2 * (1 + 3 * 32 * 32)
        ({"data_batch_1": records(1)[0][:-1]}, "data_batch_1.bin is no file of 6146 bytes"),
        ({"data_batch_5": records(1, label=10)[0]}, "data_batch_5.bin has label 10"),
        ({"data_batch_2": "/etc/passwd"}, "data_batch_2.bin is no file"),
    ],
)
def test_convert_refuses_an_archive_with_another_member(tmp_path, changed, said):
    members = {name: content for name, content in (whole() | changed).items() if content is not None}
    with pytest.raises(DataError, match=f"is not CIFAR-10's binary version .*{said}.* Download"):
        cifar10.convert(pack(tmp_path / "a.tar.gz", members), tmp_path, n_per_batch=N)


def test_convert_refuses_what_is_no_archive(tmp_path):
    packed = pack(tmp_path / "a.tar.gz", whole()).read_bytes()
    for content in (b"", b"no archive", packed[: len(packed) // 2], packed[:500] + b"\xff" * 2000 + packed[2500:]):
        (tmp_path / "b.tar.gz").write_bytes(content)
        with pytest.raises(DataError, match=r"b\.tar\.gz is not CIFAR-10's binary version"):
            cifar10.convert(tmp_path / "b.tar.gz", tmp_path, n_per_batch=N)
