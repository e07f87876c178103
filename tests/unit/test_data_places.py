"""Where data sets are looked for, files that stand for one, hashes by prefix or by version, and downloads."""

from __future__ import annotations

import dataclasses
import hashlib
import pickle
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner
from fedgen_bench_plugins.datasets import known
from fedgen_bench_plugins.datasets.known import CIFAR10, PTB
from fedgen_bench_plugins.tasks import image_generation

from fedgen_bench.api import run_suite
from fedgen_bench.base.errors import DataError, MissingDataError, UsageError
from fedgen_bench.cli.main import cli
from fedgen_bench.contract.datasets import Archive, DataFile, DatasetSpec
from fedgen_bench.registry.datasets import Places, download, find_dataset, finder, places
from fedgen_bench.registry.plugins import load_registry

INCEPTION = known.INCEPTION.name
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
    file = DataFile(path="w.pth", sha256=SHA256[:8], url=f"{server.url}w.pth")
    dataset = dataclasses.replace(known.INCEPTION, files=(file,))
    monkeypatch.setattr(image_generation, "INCEPTION", dataset)
    return dataset


@pytest.fixture
def registry(weights):  # noqa: ARG001 - registered in place of the real ones
    return load_registry(environ={})


def put(folder: Path, *files: str, content: bytes = CONTENT) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        (folder / file).write_bytes(content)
    return folder


@pytest.mark.parametrize("folder", ["cifar10", "cifar10/plain_text", "", "plain_text"])
def test_find_looks_into_the_folders_of_the_hub(nowhere, folder):
    where = put(nowhere / "given" / folder, *CIFAR10.sha256)
    assert find_dataset(CIFAR10, Places(nowhere / "given")).resolve() == where


def test_hashes_tell_which_version_of_an_unpinned_file_it_is(nowhere):
    put(nowhere, *CIFAR10.sha256)
    assert CIFAR10.hashes(find_dataset(CIFAR10, Places(nowhere))) == dict.fromkeys(CIFAR10.sha256, SHA256)


def test_data_lists_versions_pins_and_what_is_optional(nowhere, weights):
    put(nowhere / "given" / "cifar10", *CIFAR10.sha256)
    put(nowhere / "given" / "ptb", *PTB.sha256)

    def listed():
        done = CliRunner().invoke(cli, ["data", "--data", str(nowhere / "given")])
        assert done.exit_code == 0, done.output
        return {line.split()[0]: line for line in done.output.splitlines()}

    lines = listed()
    assert f"ok (unpinned: {SHA256[:8]}, {SHA256[:8]})" in lines["cifar10"]
    assert "wrong hash" in lines["ptb"]
    assert "missing (optional)" in lines[INCEPTION]
    put(nowhere / "given", *weights.sha256)
    assert "  ok  " in listed()[INCEPTION]


def test_find_gives_the_file_of_a_data_set_that_is_one_file(nowhere, weights):
    folder = put(nowhere / "given", *weights.sha256)
    assert find_dataset(weights, Places(folder)) == folder / "w.pth"


def test_find_checks_a_prefix_of_the_hash(nowhere, weights):
    folder = put(nowhere / "given", *weights.sha256, content=b"other\n")
    with pytest.raises(DataError, match=rf"w\.pth has sha256 .* expected {SHA256[:8]}\.\.\.") as caught:
        find_dataset(weights, Places(folder))
    assert not isinstance(caught.value, MissingDataError)  # there, and not what it should be: no reason to go without


def test_a_file_given_by_option_stands_for_the_data_set_under_any_name_and_hash(nowhere, registry):
    own = put(nowhere, "own.safetensors", content=b"mine\n") / "own.safetensors"
    assert finder(registry, places(registry, None, {INCEPTION: own}))(INCEPTION) == own
    assert finder(registry, places(registry, nowhere, {INCEPTION: str(own)}))(INCEPTION) == own


def test_a_file_is_given_only_for_what_is_one_file(nowhere, registry):
    own = put(nowhere, "own.txt") / "own.txt"
    with pytest.raises(UsageError, match="Unknown file `ptb`"):
        places(registry, None, {"ptb": own})
    with pytest.raises(UsageError, match=f"Did you mean `{INCEPTION}`"):
        places(registry, None, {"inception-v3-compact": own})
    done = CliRunner().invoke(cli, ["run", "--suite", "quick", "--file", "own.txt"])
    assert done.exit_code == 2
    assert "`own.txt` is not NAME=PATH" in done.output


def test_optional_data_are_never_downloaded_unasked(server, nowhere, registry):
    with pytest.raises(MissingDataError) as caught:
        finder(registry)(INCEPTION)
    for piece in (f"--file {INCEPTION}=PATH", "--data", "FEDGEN_DATA", f"fedgen-bench data fetch {INCEPTION}"):
        assert piece in str(caught.value)
    assert server.asked == []
    done = CliRunner().invoke(cli, ["data", "fetch", INCEPTION])
    assert done.exit_code == 0, done.output
    assert server.asked == ["/w.pth"]
    assert finder(registry)(INCEPTION) == nowhere / "cache" / "data" / INCEPTION / "w.pth"


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
    dataset = DatasetSpec(
        name="made",
        summary="",
        files=(DataFile(path="made.txt"),),
        licence="",
        archive=Archive(url=f"{server.url}a.tar", known_hash=md5, unpack=unpack),
    )
    folder = download(dataset)
    assert [path.name for path in folder.iterdir()] == ["made.txt"]
    assert (folder / "made.txt").read_bytes() == CONTENT.upper()
    assert folder == nowhere / "cache" / "data" / "made"
    (folder / "made.txt").unlink()
    server.content = b"other\n"
    with pytest.raises(DataError, match="what came has md5"):
        download(dataset)


def test_missing_weights_file_is_a_usage_error_before_anything_else(nowhere, registry):
    missing = nowhere / "missing.pth"
    with pytest.raises(UsageError, match=f"--file {INCEPTION}: there is no file"):
        places(registry, None, {INCEPTION: missing})
    with pytest.raises(UsageError, match=f"--file {INCEPTION}: there is no file"):
        run_suite("quick", runs=nowhere / "runs", files={INCEPTION: missing})
    for command in ("run", "tune"):
        done = CliRunner().invoke(
            cli, [command, "--suite", "quick", "--runs", str(nowhere / "runs"), "--file", f"{INCEPTION}={missing}"]
        )
        assert isinstance(done.exception, UsageError), done.output
    assert not (nowhere / "runs").exists()


def test_places_cross_to_a_machine_without_the_file_and_become_absolute(nowhere, monkeypatch):
    monkeypatch.chdir(put(nowhere, "own.pth"))
    given = Places(Path("data"), {INCEPTION: Path("own.pth")})
    assert given.absolute() == Places(nowhere / "data", {INCEPTION: nowhere / "own.pth"}, nowhere)
    packed = pickle.dumps(given)
    (nowhere / "own.pth").unlink()
    assert pickle.loads(packed) == given
    assert Places().absolute() == Places(beside=Path.cwd())


def test_inception_is_the_file_that_torch_fidelity_loads():
    source = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    assert known.INCEPTION.address == source.URL_INCEPTION_V3


def test_download_makes_the_folders_of_a_file_s_path(server):
    dataset = DatasetSpec(
        name="nested",
        summary="",
        files=tuple(DataFile(path=f"{part}/text.txt", sha256=SHA256, url=f"{server.url}{part}") for part in ("a", "b")),
        licence="",
    )
    folder = download(dataset)
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.txt")) == ["a/text.txt", "b/text.txt"]
    assert find_dataset(dataset) == folder


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../up.txt", "a/../../up.txt"])
def test_a_data_file_s_path_stays_below_its_folder(path):
    with pytest.raises(ValueError, match="is no path below"):
        DataFile(path=path)


def test_a_data_set_says_what_is_wrong_with_it():
    with pytest.raises(ValueError, match="no digits of a sha256"):
        DataFile(path="a", sha256="XYZ")
    with pytest.raises(ValueError, match="has no files"):
        DatasetSpec(name="none", summary="", files=(), licence="")
    with pytest.raises(ValueError, match="has 2 files, and `is_file` says that it is one"):
        DatasetSpec(name="two", summary="", files=(DataFile(path="a"), DataFile(path="b")), licence="", is_file=True)


STRANGER = """
from fedgen_bench import DataFile, DatasetSpec, hookimpl

@hookimpl
def register_datasets():
    files = (DataFile(path="own.txt", sha256="{sha256}"),)
    return [DatasetSpec(name="own", summary="Mine.", files=files, licence="CC0", origin="Ask me.")]
"""


def test_a_stranger_s_data_set_is_found_listed_and_checked(nowhere, monkeypatch):
    plugin = nowhere / "own.py"
    plugin.write_text(STRANGER.format(sha256=SHA256), encoding="utf-8")
    registry = load_registry([plugin], environ={})
    with pytest.raises(MissingDataError, match=r"own\.txt \(sha256 .*Ask me\."):
        finder(registry)("own")
    where = put(nowhere / "given", "own.txt")
    assert finder(registry, Places(where))("own").resolve() == where
    done = CliRunner().invoke(cli, ["data", "--data", str(where), "--plugin", str(plugin)])
    assert any(line.startswith("own  ") and "  ok  " in line for line in done.output.splitlines())
    monkeypatch.setenv("FEDGEN_DATA", str(put(nowhere / "wrong", "own.txt", content=b"other")))
    done = CliRunner().invoke(cli, ["check", str(plugin)])
    assert "FAILED" in done.output
    assert "own.txt has sha256" in done.output
