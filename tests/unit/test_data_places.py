"""Where data sets are looked for, files that stand for one, hashes by prefix or by version, and downloads."""

from __future__ import annotations

import hashlib
import pickle
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from fedgen_bench.api import run_suite
from fedgen_bench.base.errors import DataError, MissingDataError, UsageError
from fedgen_bench.cli.main import cli
from fedgen_bench.data import catalog
from fedgen_bench.data.catalog import DATASETS, INCEPTION, Archive, Dataset, Places, download, find, finder, places

CONTENT = b"weights\n"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def nowhere(monkeypatch, tmp_path):
    monkeypatch.setenv("FEDGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FEDGEN_DATA", raising=False)
    return tmp_path


@pytest.fixture
def server():
    """Answers every request with what `content` holds, and lists what was asked for."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.server.content)))
            self.end_headers()
            self.wfile.write(self.server.content)

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as one:
        one.content, one.asked = CONTENT, []
        one.url = f"http://127.0.0.1:{one.server_port}/"
        thread = threading.Thread(target=one.serve_forever)
        thread.start()
        yield one
        one.shutdown()
        thread.join()


@pytest.fixture
def weights(monkeypatch, server):
    """A stand-in for the Inception weights, known by the first digits of its hash."""
    dataset = Dataset(INCEPTION, "", {"w.pth": SHA256[:8]}, server.url, "", option="--fid-weights")
    monkeypatch.setitem(DATASETS, INCEPTION, dataset)
    return dataset


def put(folder: Path, *files: str, content: bytes = CONTENT) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        (folder / file).write_bytes(content)
    return folder


@pytest.mark.parametrize("folder", ["cifar10", "cifar10/plain_text", "", "plain_text"])
def test_find_looks_into_the_folders_of_the_hub(nowhere, folder):
    where = put(nowhere / "given" / folder, *DATASETS["cifar10"].files)
    assert find("cifar10", Places(nowhere / "given")).resolve() == where


def test_hashes_tell_which_version_of_an_unpinned_file_it_is(nowhere):
    put(nowhere, *DATASETS["cifar10"].files)
    assert catalog.hashes("cifar10", find("cifar10", Places(nowhere))) == dict.fromkeys(
        DATASETS["cifar10"].files, SHA256
    )


def test_data_lists_versions_pins_and_what_is_optional(nowhere, weights):
    put(nowhere / "given" / "cifar10", *DATASETS["cifar10"].files)
    put(nowhere / "given" / "ptb", *DATASETS["ptb"].files)

    def listed():
        done = CliRunner().invoke(cli, ["data", "--data", str(nowhere / "given")])
        assert done.exit_code == 0, done.output
        return {line.split()[0]: line for line in done.output.splitlines()}

    lines = listed()
    assert f"ok (unpinned: {SHA256[:8]}, {SHA256[:8]})" in lines["cifar10"]
    assert "wrong hash" in lines["ptb"]
    assert "missing (optional)" in lines[INCEPTION]
    put(nowhere / "given", *weights.files)
    assert "  ok  " in listed()[INCEPTION]


def test_find_gives_the_file_of_a_data_set_that_is_one_file(nowhere, weights):
    folder = put(nowhere / "given", *weights.files)
    assert find(INCEPTION, Places(folder)) == folder / "w.pth"


def test_find_checks_a_prefix_of_the_hash(nowhere, weights):
    folder = put(nowhere / "given", *weights.files, content=b"other\n")
    with pytest.raises(DataError, match=rf"w\.pth has sha256 .* expected {SHA256[:8]}\.\.\.") as caught:
        find(INCEPTION, Places(folder))
    assert not isinstance(caught.value, MissingDataError)  # there, and not what it should be: no reason to go without


@pytest.mark.usefixtures("weights")
def test_a_file_given_by_option_stands_for_the_data_set_under_any_name_and_hash(nowhere):
    own = put(nowhere, "own.safetensors", content=b"mine\n") / "own.safetensors"
    assert finder(places(None, own))(INCEPTION) == own
    assert finder(places(nowhere, str(own)))(INCEPTION) == own


@pytest.mark.usefixtures("weights")
def test_optional_data_are_never_downloaded_unasked(server, nowhere):
    with pytest.raises(MissingDataError) as caught:
        finder()(INCEPTION)
    for piece in ("--fid-weights FILE", "--data", "FEDGEN_DATA", f"fedgen-bench data fetch {INCEPTION}"):
        assert piece in str(caught.value)
    assert server.asked == []
    done = CliRunner().invoke(cli, ["data", "fetch", INCEPTION])
    assert done.exit_code == 0, done.output
    assert server.asked == ["/w.pth"]
    assert finder()(INCEPTION) == nowhere / "cache" / "data" / INCEPTION / "w.pth"


def test_download_skips_what_is_there_and_replaces_what_is_wrong(server, weights):
    first = download(weights)
    assert download(weights) == first
    assert len(server.asked) == 1
    first.write_bytes(b"half")
    assert download(weights).read_bytes() == CONTENT
    assert len(server.asked) == 2


def test_download_refuses_other_bytes_and_leaves_nothing(server, weights, nowhere):
    server.content = b"other\n"
    with pytest.raises(DataError, match=f"what came has sha256 .*, not {SHA256[:8]}"):
        download(weights)
    assert list((nowhere / "cache" / "data" / INCEPTION).iterdir()) == []


def test_download_unpacks_an_archive_by_its_own_hash(server, nowhere):
    def unpack(archive, folder):
        (folder / "made.txt").write_bytes(archive.read_bytes().upper())

    md5 = f"md5:{hashlib.md5(CONTENT).hexdigest()}"
    dataset = Dataset("made", "", {"made.txt": ""}, None, "", archive=Archive(f"{server.url}a.tar", md5, unpack))
    folder = download(dataset)
    assert [path.name for path in folder.iterdir()] == ["made.txt"]
    assert (folder / "made.txt").read_bytes() == CONTENT.upper()
    assert folder == nowhere / "cache" / "data" / "made"
    (folder / "made.txt").unlink()
    server.content = b"other\n"
    with pytest.raises(DataError, match="what came has md5"):
        download(dataset)


def test_missing_weights_file_is_a_usage_error_before_anything_else(nowhere):
    missing = nowhere / "missing.pth"
    with pytest.raises(UsageError, match="--fid-weights: there is no file"):
        places(None, missing)
    with pytest.raises(UsageError, match="--fid-weights: there is no file"):
        run_suite("quick", runs=nowhere / "runs", fid_weights=missing)
    for command in ("run", "tune"):
        done = CliRunner().invoke(
            cli, [command, "--suite", "quick", "--runs", str(nowhere / "runs"), "--fid-weights", str(missing)]
        )
        assert isinstance(done.exception, UsageError), done.output
    assert not (nowhere / "runs").exists()


def test_places_cross_to_a_machine_without_the_file_and_become_absolute(nowhere, monkeypatch):
    monkeypatch.chdir(put(nowhere, "own.pth"))
    given = Places(Path("data"), {INCEPTION: Path("own.pth")})
    assert given.absolute() == Places(nowhere / "data", {INCEPTION: nowhere / "own.pth"})
    packed = pickle.dumps(given)
    (nowhere / "own.pth").unlink()
    assert pickle.loads(packed) == given
    assert Places().absolute() == Places()


def test_inception_is_the_file_that_torch_fidelity_loads():
    source = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    (file,) = DATASETS[INCEPTION].files
    assert DATASETS[INCEPTION].base_url + file == source.URL_INCEPTION_V3
