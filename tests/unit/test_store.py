"""Whatever happens to the database's bytes: what is read is what was written, or a StoreError says that it is not."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import sqlite3
import tempfile
from pathlib import Path

import pytest

from fedgen_bench.base.errors import StoreError
from fedgen_bench.registry.datasets import Places
from fedgen_bench.results.store import Store
from fedgen_bench.run.executor import Job
from fedgen_bench.run.runner import run_cells
from fedgen_bench.suite.cells import expand

N_COPIES = 150
NOBODY = 65534


def run(root, registry, specs):
    with Store(root) as store:
        return run_cells(specs, registry, Job(root, Places(), "cpu", ()), store, workers=1, on_event=lambda _: None)


@pytest.fixture(scope="module")
def specs(registry, toy_suite):
    return expand(toy_suite(), registry, contenders=["fedgen_edge", "local_only"], seeds=[1])


@pytest.fixture(scope="module")
def whole(tmp_path_factory, registry, specs):
    """A store with two finished cells."""
    root = tmp_path_factory.mktemp("whole")
    run(root, registry, specs)
    return root


def content(root):
    with Store(root, read_only=True) as store:
        return store.runs("toy", 1)


@pytest.mark.parametrize("n_flips", [1, 3])
def test_store_with_flipped_bits_is_read_as_it_was_or_refused(whole, tmp_path, n_flips):
    before, bytes_ = content(whole), (whole / "fedgen.sqlite").read_bytes()
    rng = random.Random(n_flips)
    refused = 0
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "one").mkdir()
    for _ in range(N_COPIES):
        flipped = bytearray(bytes_)
        for _ in range(n_flips):
            # half of them in the file's header and the schema, where most of the ways to go wrong are
            at = rng.randrange(len(flipped)) if rng.random() < 0.5 else rng.randrange(4096)
            flipped[at] ^= 1 << rng.randrange(8)
        for path in tmp_path.glob("fedgen.sqlite*"):
            path.unlink()
        (tmp_path / "fedgen.sqlite").write_bytes(flipped)
        try:
            assert content(tmp_path) == before
        except StoreError:
            refused += 1
    assert 0 < refused < N_COPIES


def test_store_that_was_cut_off_anywhere_is_refused(whole, tmp_path):
    bytes_ = (whole / "fedgen.sqlite").read_bytes()
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "one").mkdir()
    for length in (0, 1, 99, 100, 4095, 4096, len(bytes_) // 2, len(bytes_) - 1):
        (tmp_path / "fedgen.sqlite").write_bytes(bytes_[:length])
        with pytest.raises(StoreError):
            content(tmp_path)


@pytest.mark.parametrize("statement", ["DROP TABLE metrics", "ALTER TABLE rounds RENAME COLUMN report TO x"])
def test_store_of_another_layout_is_a_store_error(whole, tmp_path, statement):
    (tmp_path / "fedgen.sqlite").write_bytes((whole / "fedgen.sqlite").read_bytes())
    db = sqlite3.connect(tmp_path / "fedgen.sqlite")
    db.executescript(statement)
    db.close()
    with pytest.raises(StoreError, match="cannot be used"):
        content(tmp_path)


def test_store_shows_the_run_that_was_asked_for_last(registry, toy_suite, tmp_path):
    """A cell that is skipped stands in the table in place of one that was run after it under other settings."""

    def shown(*overrides):
        run(tmp_path, registry, expand(toy_suite(*overrides), registry, contenders=["local_only"], seeds=[1]))
        (found,) = content(tmp_path)
        return found.spec.config.federation.rounds

    assert [shown("federation.rounds=2"), shown("federation.rounds=3"), shown("federation.rounds=2")] == [2, 3, 2]


def test_a_value_that_the_database_cannot_hold_is_a_store_error(specs, tmp_path):
    from fedgen_bench.contract.reports import RunResult

    with Store(tmp_path) as store:
        journal = store.begin(specs[0], {}, {})
        with pytest.raises(StoreError, match="refused a write"):
            journal.finish(RunResult("failed", "\ud800"), None, 0.0)
        assert store.status(specs[0]) == "running"


def test_many_rounds_leave_few_files(registry, toy_suite, tmp_path):
    specs = expand(toy_suite("federation.rounds=40"), registry, contenders=["local_only"], seeds=[1])
    seen = []

    def note(event):
        if event.kind == "round":
            seen.append(len(list(tmp_path.glob("cells/*/*"))))

    with Store(tmp_path) as store:
        (ended,) = run_cells(specs, registry, Job(tmp_path, Places(), "cpu", ()), store, workers=1, on_event=note)
    assert (ended.status, len(seen)) == ("done", 40)
    assert max(seen) <= 2 + 6
    assert [path.name for path in tmp_path.glob("cells/*/*")] in ([], ["final.safetensors"])


@contextlib.contextmanager
def unwritable(store):
    """A copy of a store that this process may read and not write, be it root's."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(shutil.copytree(store, Path(folder) / "runs"))
        for path in (*root.rglob("*"), root, root.parent):
            path.chmod(0o555 if path.is_dir() else 0o444)
        own = os.geteuid()
        os.seteuid(own or NOBODY)
        try:
            yield root
        finally:
            os.seteuid(own)
            for path in (root.parent, root, *root.rglob("*")):
                path.chmod(0o755 if path.is_dir() else 0o644)


def test_a_store_that_cannot_be_written_is_read(whole):
    expected = content(whole)
    with unwritable(whole) as root:
        with pytest.raises(StoreError):
            Store(root)
        assert content(root) == expected


def test_reading_leaves_nothing_behind_and_takes_no_lock(whole, tmp_path):
    root = shutil.copytree(whole, tmp_path / "runs")
    before = sorted(root.iterdir())
    with Store(root), Store(root, read_only=True) as store, pytest.raises(StoreError, match="readonly"):
        store.begin(content(whole)[0].spec, {}, {})
    assert sorted(root.iterdir()) == before
    with pytest.raises(StoreError, match="There is no results store"):
        Store(tmp_path / "nowhere", read_only=True)
    assert not (tmp_path / "nowhere").exists()


def test_an_empty_store_that_is_only_read_is_none(tmp_path):
    (tmp_path / "fedgen.sqlite").touch()
    with pytest.raises(StoreError, match="There is no results store"):
        Store(tmp_path, read_only=True)
