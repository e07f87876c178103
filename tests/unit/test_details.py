"""The Parquet files and the manifest of a published folder."""

import shutil
import subprocess

import pytest

from fedgen_bench.base.errors import StoreError
from fedgen_bench.registry.datasets import Places
from fedgen_bench.results.checking import check_folder
from fedgen_bench.results.details import NOBODY, details, read_figures, read_messages
from fedgen_bench.results.files import LEDGER, MANIFEST, METRICS
from fedgen_bench.results.manifest import differences, read_manifest, write_manifest
from fedgen_bench.results.publish import finished, publish
from fedgen_bench.results.published import open_folder
from fedgen_bench.results.store import Store
from fedgen_bench.run.executor import Job
from fedgen_bench.run.runner import run_cells
from fedgen_bench.suite.cells import expand


@pytest.fixture(scope="module")
def toy_published(registry, toy_suite, tmp_path_factory):
    """Folder and runs of the toy suite."""
    root = tmp_path_factory.mktemp("toy")
    suite, source = toy_suite(), registry.get("suite", "toy").spec
    with Store(root / "runs") as store:
        job = Job(root / "runs", Places(), "cpu", registry.plugin_files)
        run_cells(expand(suite, registry), registry, job, store, workers=1, on_event=lambda _: None)
        _, folder = publish(source, suite, registry, store, root / "leaderboards")
        return folder, finished(store, suite)


@pytest.fixture
def folder(toy_published, tmp_path):
    return shutil.copytree(toy_published[0], tmp_path / "toy")


def test_ledger_holds_every_message_and_sums_to_the_record(toy_published):
    folder, _ = toy_published
    rows = read_messages(folder)
    for record in open_folder(folder).records:
        own = [row for row in rows if row.digest == record.digest]
        for direction in ("up", "down"):
            sent = [row for row in own if row.direction == direction]
            assert len(sent) == getattr(record.bytes, direction).messages
            assert sum(row.encoded_bytes for row in sent) == getattr(record.bytes, direction).encoded
    assert any(row.direction == "up" for row in rows)


def test_metrics_hold_rounds_clients_drift_and_the_end(toy_published):
    folder, _ = toy_published
    rows = read_figures(folder)
    record = next(one for one in open_folder(folder).records if one.name == "fedavg/1")
    own = [row for row in rows if row.digest == record.digest]
    curve = [row.value for row in own if row.name == "valid_subset/toy_loss"]
    assert curve == [value for _, value, _ in record.curve]
    assert {row.name for row in own if row.round_index == 0 and row.name.startswith("drift/")} == {
        "drift/mean_change_norm", "drift/dispersion", "drift/cosine_to_mean",
    }  # fmt: skip
    end = {row.name: row.value for row in own if row.round_index == row.client_id == NOBODY}
    assert end == record.metrics
    clients = {str(row.client_id): row.value for row in own if row.name == "global/toy_loss"}
    assert clients == record.per_client["global"]


def test_pooled_runs_have_neither_messages_nor_drift(toy_published):
    folder, _ = toy_published
    assert not [row for row in read_messages(folder) if row.contender == "centralized"]
    pooled = [row for row in read_figures(folder) if row.contender == "centralized"]
    assert pooled
    assert not [row for row in pooled if row.name.startswith("drift/")]


def test_equal_runs_give_equal_bytes(toy_published):
    folder, runs = toy_published
    for name, content in details(list(reversed(runs))).items():
        assert content == (folder / name).read_bytes()


def test_folder_without_parquet_has_no_details(tmp_path):
    assert read_messages(tmp_path) == read_figures(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"PAR1 but no more", b"\x80\x04cposix\nsystem\n"])
def test_file_that_is_no_parquet_is_named(folder, content):
    (folder / LEDGER).write_bytes(content)
    with pytest.raises(StoreError, match=LEDGER):
        read_messages(folder)


def test_parquet_with_other_columns_is_refused(folder):
    shutil.copy(folder / METRICS, folder / LEDGER)
    with pytest.raises(StoreError, match="other columns"):
        read_messages(folder)


def test_manifest_is_what_sha256sum_reads(folder):
    done = subprocess.run(["sha256sum", "-c", MANIFEST], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert LEDGER in read_manifest(folder)


@pytest.mark.parametrize(
    ("spoil", "name"),
    [
        (lambda folder: (folder / "timing.csv").write_text("x"), "timing.csv"),
        (lambda folder: (folder / METRICS).unlink(), METRICS),
        (lambda folder: (folder / "more.txt").write_text("x"), "more.txt"),
        (lambda folder: (folder / "bands.csv").write_text("x"), "bands.csv"),
    ],
)
def test_changed_missing_and_unlisted_files_are_told(folder, registry, spoil, name):
    assert check_folder(folder, registry) == []
    spoil(folder)
    assert name in differences(folder)
    assert name in check_folder(folder, registry)


def test_manifest_without_names_is_refused_and_a_new_one_mends_it(folder):
    (folder / MANIFEST).write_text("abc\n")
    with pytest.raises(StoreError, match="no list of hashes"):
        differences(folder)
    write_manifest(folder)
    assert differences(folder) == []
