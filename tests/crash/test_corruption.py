"""Damaged files and rows: a run falls back as far as it must and ends byte-equal, or says why it does not begin."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3

import crash_driver
import pytest

from fedgen_bench.base.errors import StoreError
from fedgen_bench.registry.datasets import Places
from fedgen_bench.results.store import Store
from fedgen_bench.run.executor import Job
from fedgen_bench.run.runner import run_cells


@pytest.fixture(scope="module")
def cut_off():
    """The first cell after three of its four rounds."""
    registry, _, _, specs = crash_driver.world()
    with crash_driver.scratch() as root:

        def note(event):
            if event.kind == "round" and event.round_index == 2:
                raise KeyboardInterrupt

        with Store(root / "runs") as store, pytest.raises(KeyboardInterrupt):
            run_cells(specs, registry, Job(root / "runs", Places(), "cpu", ()), store, workers=1, on_event=note)
        yield root


@pytest.fixture
def root(cut_off):
    with crash_driver.scratch() as folder:
        shutil.copytree(cut_off, folder, dirs_exist_ok=True)
        yield folder


@pytest.fixture
def finished(untouched):
    with crash_driver.scratch() as folder:
        shutil.copytree(untouched.root, folder, dirs_exist_ok=True)
        yield folder


def cell_file(root, name):
    (path,) = (root / "runs" / "cells").glob(f"*/{name}")
    return path


def flip(path, at=-3):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(bytes(content))


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def change(root, statement, *values):
    with contextlib.closing(sqlite3.connect(root / "runs" / "fedgen.sqlite", isolation_level=None)) as db:
        assert db.execute(statement, values).rowcount > 0


def state(number):
    return f"state-{number:05d}.safetensors"


def keep(number):
    return f"keep-{number:05d}.safetensors"


@pytest.mark.parametrize("damage", [flip, truncate, lambda path: path.unlink()], ids=["flip", "truncate", "remove"])
@pytest.mark.parametrize(
    ("files", "rounds_again"),
    [
        ([], 1),
        ([state(2)], 2),
        ([state(1)], 1),
        ([state(2), state(1)], 4),
        ([keep(2)], 2),
        ([keep(1)], 4),
    ],
    ids=lambda value: "+".join(name.split(".")[0] for name in value) if isinstance(value, list) else None,
)
def test_resume_from_damaged_files_falls_back_and_ends_byte_equal(files, rounds_again, damage, root, untouched):
    for name in files:
        damage(cell_file(root, name))
    told = crash_driver.run_world(str(root))
    assert told["rounds"] == {"fedgen_edge": rounds_again, "fedavg": crash_driver.N_ROUNDS}
    assert crash_driver.problems(root, untouched.root) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE rounds SET report = replace(report, '\"n_accepted\": 3', '\"n_accepted\": 2') WHERE round = 1",
        "UPDATE ledger SET encoded_bytes = encoded_bytes - 1 WHERE round = 1",
        "DELETE FROM ledger WHERE round = 1 AND direction = 'up'",
        "DELETE FROM rounds WHERE round = 1",
    ],
)
def test_resume_from_an_edited_row_falls_back_and_ends_byte_equal(statement, root, untouched):
    change(root, statement)
    assert crash_driver.run_world(str(root))["rounds"]["fedgen_edge"] == crash_driver.N_ROUNDS
    assert crash_driver.problems(root, untouched.root) == []


def test_resume_replaces_a_checkpoint_that_is_a_link(root, untouched):
    path, elsewhere = cell_file(root, state(2)), root / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    before = elsewhere.read_bytes()
    assert crash_driver.run_world(str(root))["rounds"]["fedgen_edge"] == 2
    assert elsewhere.read_bytes() == before
    assert crash_driver.problems(root, untouched.root) == []


OF_FEDAVG = "run IN (SELECT identity FROM runs WHERE contender = 'fedavg')"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE runs SET result = replace(result, '0.', '1.') WHERE contender = 'fedavg'",
        "UPDATE runs SET status = 'diverged' WHERE contender = 'fedavg'",
        "UPDATE runs SET reason = 'none' WHERE contender = 'fedavg'",
        "UPDATE runs SET config = replace(config, '0.2', '0.1') WHERE contender = 'fedavg'",
        f"UPDATE rounds SET report = replace(report, '3', '4') WHERE {OF_FEDAVG}",
        f"UPDATE ledger SET encoded_bytes = encoded_bytes / 2 WHERE {OF_FEDAVG}",
        f"UPDATE metrics SET value = value / 2 WHERE {OF_FEDAVG}",
        f"DELETE FROM rounds WHERE round = 3 AND {OF_FEDAVG}",
        f"DELETE FROM rounds WHERE {OF_FEDAVG}",
        f"DELETE FROM ledger WHERE {OF_FEDAVG}",
        f"DELETE FROM metrics WHERE {OF_FEDAVG}",
        "UPDATE runs SET seed = 2 WHERE contender = 'fedavg'",
        "UPDATE runs SET contender = 'other' WHERE contender = 'fedavg'",
        "UPDATE runs SET suite = 'other' WHERE contender = 'fedavg'",
        "UPDATE runs SET suite_version = 2 WHERE contender = 'fedavg'",
        "UPDATE runs SET purpose = 'tune' WHERE contender = 'fedavg'",
        "UPDATE runs SET off_suite = '[\"x=1\"]' WHERE contender = 'fedavg'",
        "UPDATE runs SET content = '{\"x\": \"1\"}' WHERE contender = 'fedavg'",
        "UPDATE runs SET environment = '{}' WHERE contender = 'fedavg'",
        "UPDATE runs SET provenance = '{}' WHERE contender = 'fedavg'",
        "UPDATE runs SET seconds = seconds / 2 WHERE contender = 'fedavg'",
        "UPDATE runs SET sequence = 9 WHERE contender = 'fedavg'",
        "UPDATE runs SET identity = '0' WHERE contender = 'fedavg'",
        "DELETE FROM runs WHERE contender = 'fedavg'",
        "UPDATE store SET n_runs = 3",
        "DELETE FROM store",
    ],
)
def test_publish_refuses_an_edited_row_and_leaves_the_leaderboard(statement, finished):
    change(finished, statement)
    before = crash_driver.outputs(finished)
    what = r"(Run (toy|other)/(fedavg|other)/\d|Round \d of run .*fedavg.*|Run [0-9a-f]{24}|Table `runs`) in .* "
    why = "(does not match its|is missing|has .* rows, which is not how many were written)"
    with pytest.raises(StoreError, match=f"{what}{why}.*: the store was edited or damaged. Restore a copy"):
        crash_driver.run_world(str(finished))
    assert crash_driver.outputs(finished) == before


def test_store_refuses_a_newer_schema(finished):
    with contextlib.closing(sqlite3.connect(finished / "runs" / "fedgen.sqlite")) as db:
        db.execute("PRAGMA user_version = 99")
    before = (finished / "runs" / "fedgen.sqlite").read_bytes()
    with pytest.raises(StoreError, match=r"newer fedgen-bench .schema 99.*Upgrade"):
        Store(finished / "runs")
    assert (finished / "runs" / "fedgen.sqlite").read_bytes() == before


def damaged_header(path):
    flip(path, at=3)


def damaged_page(path):
    content = bytearray(path.read_bytes())
    content[4096:4200] = b"\xff" * 104
    path.write_bytes(bytes(content))


def cut_in_half(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def not_a_database(path):
    path.write_bytes(b"once upon a time" * 400)


def emptied(path):
    path.write_bytes(b"")


def version(number):
    def damage(path):
        with contextlib.closing(sqlite3.connect(path)) as db:
            db.execute(f"PRAGMA user_version = {number}")

    return damage


@pytest.mark.parametrize(
    "damage", [emptied, version(0), version(-1), damaged_header, damaged_page, cut_in_half, not_a_database]
)
def test_store_refuses_a_damaged_database_and_changes_nothing(damage, finished):
    path = finished / "runs" / "fedgen.sqlite"
    damage(path)
    before = path.read_bytes(), crash_driver.outputs(finished)
    with pytest.raises(StoreError, match=r"is damaged .*Move it away and run again, or restore a copy"):
        crash_driver.run_world(str(finished))
    assert (path.read_bytes(), crash_driver.outputs(finished)) == before
    path.unlink()
    assert crash_driver.run_world(str(finished))["ended"] == ["done", "done"]


def test_store_of_an_older_schema_says_what_to_do(finished):
    path = finished / "runs" / "fedgen.sqlite"
    version(1)(path)
    with pytest.raises(
        StoreError, match=r"older fedgen-bench .schema 1, this one writes 2.*another folder with `--runs`"
    ):
        Store(finished / "runs")


def test_a_finished_cell_leaves_its_final_tensors_alone(untouched):
    files = [path.name for path in (untouched.root / "runs" / "cells").rglob("*") if path.is_file()]
    assert files == ["final.safetensors"] * len(crash_driver.CONTENDERS)


def test_store_of_a_folder_that_is_a_file_is_a_clear_error(tmp_path):
    (tmp_path / "runs").write_bytes(b"")
    with pytest.raises(StoreError, match="Cannot write"):
        Store(tmp_path / "runs")


def test_store_held_by_another_is_a_clear_error_and_free_afterwards(tmp_path):
    with Store(tmp_path), pytest.raises(StoreError, match="Another fedgen-bench is writing"):
        Store(tmp_path)
    Store(tmp_path).close()
