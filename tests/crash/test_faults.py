"""Full and failing disks: the n-th call fails for n = 1, 2, 3 ... until none does; then the run ends byte-equal."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
from pathlib import Path

import crash_driver
import pytest

from fedgen_bench.base.errors import StoreError
from fedgen_bench.base.files import write_atomic
from fedgen_bench.registry.datasets import Places
from fedgen_bench.results import contents
from fedgen_bench.results.files import MANIFEST
from fedgen_bench.results.folders import write_together
from fedgen_bench.results.publish import publish
from fedgen_bench.results.rows import count_row
from fedgen_bench.results.store import Store
from fedgen_bench.run.executor import Job
from fedgen_bench.run.runner import run_cells


class Disk:
    """Counts the calls that can fail in `files.write_atomic` and `folders.write_together`; the `fails_at`-th raises."""

    def __init__(self, patch: pytest.MonkeyPatch, number: int) -> None:
        self.fails_at, self.number, self.n_calls = 0, number, 0
        for owner, name in ((Path, "replace"), (Path, "rename"), (os, "fsync")):
            self._watch(patch, owner, name)
        real = Path.open

        def opened(path, mode="r", *args, **kwargs):
            if mode != "wb":
                return real(path, mode, *args, **kwargs)
            self.call()
            return _File(real(path, mode, *args, **kwargs), self)

        patch.setattr(Path, "open", opened)

    def _watch(self, patch: pytest.MonkeyPatch, owner: object, name: str) -> None:
        real = getattr(owner, name)

        def call(*args, **kwargs):
            self.call()
            return real(*args, **kwargs)

        patch.setattr(owner, name, call)

    def call(self) -> None:
        self.n_calls += 1
        if self.n_calls == self.fails_at:
            raise OSError(self.number, os.strerror(self.number))

    def failing(self, n: int) -> None:
        self.fails_at, self.n_calls = n, 0

    @property
    def failed(self) -> bool:
        return self.n_calls >= self.fails_at


class _File:
    """A file whose `write` may fail after half of it."""

    def __init__(self, real, disk: Disk) -> None:
        self._real, self._disk = real, disk

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self._real.close()

    def __getattr__(self, name):
        return getattr(self._real, name)

    def write(self, content: bytes) -> int:
        try:
            self._disk.call()
        except OSError:
            self._real.write(content[: len(content) // 2])
            raise
        return self._real.write(content)


def ignore(event: object) -> None:
    """Nobody watches."""


def run_one(root: Path) -> None:
    """The first cell alone."""
    registry, _, _, specs = crash_driver.world()
    with Store(root / "runs") as store:
        job = Job(root / "runs", Places(), "cpu", registry.plugin_files)
        run_cells(specs[:1], registry, job, store, workers=1, on_event=ignore)


@pytest.fixture(scope="module")
def one_cell():
    with crash_driver.scratch() as root:
        run_one(root)
        yield root


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "No space left"), (errno.EIO, "Input/output error"), (errno.EACCES, "Permission denied")],
)
def test_run_when_the_nth_disk_call_fails_is_a_clear_error_and_resumes_byte_equal(number, words, one_cell, monkeypatch):
    disk = Disk(monkeypatch, number)
    n = 0
    while True:
        n += 1
        with crash_driver.scratch() as root:
            disk.failing(n)
            try:
                run_one(root)
            except StoreError as error:
                assert words in str(error)  # noqa: PT017 - one call in the loop does not fail
                assert "intact" in str(error)  # noqa: PT017
            else:
                assert not disk.failed
                break
            assert not list(root.rglob("*.tmp"))
            disk.failing(1 << 30)
            run_one(root)
            assert crash_driver.problems(root, one_cell) == []
    assert n > 5 * (2 * crash_driver.N_ROUNDS + 1)  # a state and a keep file a round, and the final tensors


def test_publish_when_the_nth_disk_call_fails_leaves_whole_files_and_ends_byte_equal(untouched, monkeypatch):
    registry, source, suite, _ = crash_driver.world()
    real, rendered = contents.table_files, {}
    monkeypatch.setattr(contents, "table_files", lambda *a: rendered or rendered.update(real(*a)) or rendered)
    disk = Disk(monkeypatch, errno.ENOSPC)
    folder = untouched.root / "leaderboards" / "toy"
    n = 0
    with crash_driver.scratch() as root, Store(untouched.root / "runs") as store:
        while True:
            n += 1
            disk.failing(1 << 30)
            write_together(root / str(n) / "toy", {"notes.txt": b"somebody's own"})
            disk.failing(n)
            with contextlib.suppress(StoreError):
                publish(source, suite, registry, store, root / str(n))
            names = {path.name for path in (root / str(n)).rglob("*") if path.is_file()}
            names -= {".lock"}
            assert names in ({"notes.txt", MANIFEST}, {path.name for path in folder.iterdir()})
            assert sorted(path.name for path in (root / str(n)).iterdir()) == [".lock", "toy"]
            if not disk.failed:
                break
            disk.failing(1 << 30)
            publish(source, suite, registry, store, root / str(n))
            assert all(
                (root / str(n) / "toy" / name).read_bytes() == (folder / name).read_bytes()
                for name in crash_driver.COMPARED
            )
    assert n > 5 * len(list(folder.iterdir())) + 2


def test_run_when_the_database_is_full_is_a_clear_error_and_resumes_byte_equal(one_cell):
    registry, _, _, specs = crash_driver.world()
    n_failures = pages = 0
    while True:
        pages += 1
        with crash_driver.scratch() as root:
            job = Job(root / "runs", Places(), "cpu", registry.plugin_files)
            (root / "runs").mkdir()
            with contextlib.closing(sqlite3.connect(root / "runs" / "fedgen.sqlite")) as db:
                db.executescript("PRAGMA page_size = 512; VACUUM")  # small pages: many ways to be full
            with Store(root / "runs") as store:
                has = store._db.rows("PRAGMA page_count")[0][0]
                store._db.rows(f"PRAGMA max_page_count = {has + pages - 1}")
                try:
                    run_cells(specs[:1], registry, job, store, workers=1, on_event=ignore)
                except StoreError as error:
                    assert "No space left on the disk" in str(error)  # noqa: PT017
                    n_failures += 1
                else:
                    break
            run_one(root)
            assert crash_driver.problems(root, one_cell) == []
    assert n_failures >= 10


def test_write_atomic_keeps_the_old_content_when_it_fails(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomic(path, b"old")
    disk = Disk(monkeypatch, errno.ENOSPC)
    for n in (1, 2, 3, 4):  # open, write, fsync, rename
        disk.failing(n)
        with pytest.raises(StoreError, match="No space left"):
            write_atomic(path, b"new")
        assert path.read_bytes() == b"old"
        assert list(tmp_path.iterdir()) == [path]


def test_write_atomic_tells_of_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="Cannot write"):
        write_atomic(tmp_path / "file" / "name", b"x")


def _as_nobody(root: str, function: str) -> str:
    contents.table_files = lambda *_: {"table.csv": b""}  # drawing reads fonts that another user may have no access to
    if os.getuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    before = crash_driver.outputs(Path(root))
    try:
        getattr(crash_driver, function)(root)
    finally:
        assert crash_driver.outputs(Path(root)) == before
    return "was written to"


@pytest.mark.parametrize("which", ["runs", "runs/fedgen.sqlite", "runs/cells", "leaderboards"])
def test_run_on_a_read_only_store_is_a_clear_error_and_changes_nothing(which, untouched):
    with crash_driver.scratch() as root:
        root.chmod(0o755)
        shutil.copytree(untouched.root, root, dirs_exist_ok=True)
        with contextlib.closing(sqlite3.connect(root / "runs" / "fedgen.sqlite", isolation_level=None)) as db:
            db.executescript("PRAGMA foreign_keys=ON; DELETE FROM runs WHERE contender = 'fedavg'")
            db.execute("UPDATE store SET (n_runs, checksum) = (?, ?)", count_row(1))
        for path in [root, *root.rglob("*")]:
            path.chmod(0o777 if path.is_dir() else 0o666)
        hit = root / which
        for path in [hit, *hit.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        kind, told = crash_driver.child(_as_nobody, {"root": str(root), "function": "run_world"})
        assert kind == "StoreError", told
        assert str(root) in told
        assert "Cannot write" in told or "cannot be used" in told or "refused a write" in told
