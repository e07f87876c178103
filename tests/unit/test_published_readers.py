"""Whatever is done to a published folder, each of its readers returns or raises one of our own errors."""

import copy
import json
import math
import os
import random
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from fedgen_bench.api import load_results
from fedgen_bench.base.errors import FedgenError, StoreError, UsageError
from fedgen_bench.base.stats import interval
from fedgen_bench.cli.main import cli
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.results.bands import bands
from fedgen_bench.results.checking import check_folder
from fedgen_bench.results.files import RESULTS
from fedgen_bench.results.manifest import differences, write_manifest
from fedgen_bench.results.published import open_folder
from fedgen_bench.review.claims.gathering import gather
from fedgen_bench.review.claims.judging import judged
from fedgen_bench.review.reproduction import choose, datasets_of, problems, reruns_of
from fedgen_bench.review.validation import validate

CIFAR10 = Path(__file__).parents[2] / "leaderboards" / "cifar10"
SEEDS, N_MUTATIONS = (1, 2), 90
ODD = (
    None, True, "", "x", "\ud800", "\x1b[2J", -1, 0, 2**63, 10**400, 1.5, 1e308, math.nan, math.inf, [], {}, [None],
    {"": None}, [[[]]],
)  # fmt: skip


@pytest.fixture(scope="module")
def registry():
    return load_registry(environ={})


@pytest.fixture(scope="module")
def published():
    """A few of the records: the reference, the full model, one without a global model, one without training."""
    found = json.loads((CIFAR10 / RESULTS).read_text(encoding="utf-8"))
    names = ["fedgen_edge", "fedavg_full", "local_only", "frozen"]
    kept = [one for one in found["records"] if one["contender"] in names and one["seed"] in SEEDS]
    return {**found, "records": kept}


@pytest.fixture
def body(published):
    return copy.deepcopy(published)


@pytest.fixture
def folder(body, tmp_path):
    made = tmp_path / "cifar10"
    made.mkdir()
    (made / RESULTS).write_text(json.dumps(body), encoding="utf-8")
    for name in ("SHA256SUMS", "metrics.parquet"):
        shutil.copyfile(CIFAR10 / name, made / name)
    return made


def reproduced(folder, registry):
    """All that `reproduce` does before it runs anything."""
    records = open_folder(folder).records
    differences(folder)
    reruns = reruns_of(choose(records, sample=2), registry)
    problems(reruns, registry)
    bands(records)
    for one in reruns:
        if one.record.config.task.name in registry.components["task"]:
            datasets_of(one.record, registry)


READERS = {
    "load_results": lambda folder, _: load_results(folder).clients,
    "claims": lambda folder, registry: judged(gather(folder.parent, folder.name, registry), registry),
    "reproduce": reproduced,
    "validate": validate,
}


def places(node, path=()):
    """The path of every value in a JSON value."""
    yield path
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield from places(value, (*path, key))


def mutated(body, rng):
    """The text of a body after one change, and what the change is."""
    kind = rng.choice(["delete", "odd", "odd", "odd", "scale", "swap", "deep", "cut", "flip", "twice"])
    text = json.dumps(body)
    if kind == "cut":
        return kind, text[: rng.randrange(len(text))].encode()
    if kind == "flip":
        raw = bytearray(text.encode())
        raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
        return kind, bytes(raw)
    made = copy.deepcopy(body)
    every = list(places(made))
    if rng.random() < 0.6:  # most values lie in curves and parameters
        every = [one for one in every if len(one) <= 5]
    path = rng.choice(every[1:])
    node = made
    for part in path[:-1]:
        node = node[part]
    if kind == "delete":
        del node[path[-1]]
    elif kind == "odd":
        node[path[-1]] = rng.choice(ODD)
    elif kind == "scale" and isinstance(node[path[-1]], int | float):
        node[path[-1]] = node[path[-1]] * rng.choice([-1, 0, 2, 10**9])
    elif kind == "swap":
        other = rng.choice(made["records"])
        rng.choice(made["records"]).update({key: copy.deepcopy(other[key]) for key in ("seed", "config", "digest")})
    elif kind == "twice":
        made["records"].append(copy.deepcopy(rng.choice(made["records"])))
    elif kind == "deep":
        node[path[-1]] = "DEEP"
        depth = rng.choice([40, 5000, 200_000])
        return kind, json.dumps(made).replace('"DEEP"', "[" * depth + "]" * depth).encode()
    return f"{kind} at {'.'.join(map(str, path))}", json.dumps(made).encode()


def told(reader, folder, registry, what):
    """What a reader says, or an empty text; anything but our own errors fails the test."""
    try:
        READERS[reader](folder, registry)
    except FedgenError as error:
        return str(error)
    except Exception as error:
        raise AssertionError(f"{what}: {type(error).__name__}: {error}") from error
    return ""


@pytest.mark.parametrize("reader", READERS)
def test_reader_of_mutated_results_returns_or_raises_our_own_error(reader, body, folder, registry):
    rng = random.Random(11)
    assert told(reader, folder, registry, "unchanged") == ""
    for number in range(N_MUTATIONS):
        what, content = mutated(body, rng)
        (folder / RESULTS).write_bytes(content)
        assert len(told(reader, folder, registry, f"mutation {number}, {what}")) < 1000


@pytest.mark.parametrize("name", ["metrics.parquet", "SHA256SUMS"])
def test_other_files_that_were_cut_or_flipped_give_our_own_error(name, folder, registry):
    rng = random.Random(11)
    original = (folder / name).read_bytes()
    reader = "claims" if name == "metrics.parquet" else "reproduce"
    for number in range(40):
        raw = bytearray(original)
        for _ in range(3):
            raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
        (folder / name).write_bytes(raw if number % 2 else raw[: rng.randrange(len(raw))])
        told(reader, folder, registry, f"mutation {number} of {name}")


def test_check_of_a_leaderboard_raises_our_own_error(body, folder, registry):
    del body["records"][0]["metrics"]
    (folder / RESULTS).write_text(json.dumps(body), encoding="utf-8")
    with pytest.raises(StoreError, match=r"results.json, .*/1: `metrics` is missing. Publish the folder again"):
        check_folder(folder, registry)


@pytest.mark.parametrize("key", ["digest", "metrics", "curve", "facts", "bytes", "config", "environment", "provenance"])
def test_record_without_what_every_record_has_is_refused_by_its_name(key, body, folder):
    del body["records"][0][key]
    (folder / RESULTS).write_text(json.dumps(body), encoding="utf-8")
    with pytest.raises(StoreError, match=rf"results.json, .*/1: `{key}` is missing"):
        open_folder(folder)


@pytest.mark.parametrize(("key", "value"), [("seed", "1"), ("off_suite", "x"), ("digest", 1), ("provenance", [])])
def test_record_with_a_value_of_another_kind_is_refused(key, value, body, folder):
    body["records"][0][key] = value
    (folder / RESULTS).write_text(json.dumps(body), encoding="utf-8")
    with pytest.raises(StoreError, match=rf"`{key}`: input should be"):
        open_folder(folder)


def test_folder_that_must_be_unchanged_is_what_its_manifest_says(folder):
    write_manifest(folder)
    open_folder(folder, unchanged=True)
    (folder / "new.txt").write_text("x", encoding="utf-8")
    open_folder(folder)
    with pytest.raises(StoreError, match=r"new.txt in .* differ from SHA256SUMS: edited or truncated"):
        open_folder(folder, unchanged=True)
    (folder / "SHA256SUMS").unlink()
    open_folder(folder, unchanged=True)


def _linked(path):
    path.rename(path.with_name("other.json"))
    path.symlink_to("other.json")


def _broken(path):
    path.unlink()
    path.symlink_to("nowhere")


def _folder(path):
    path.unlink()
    path.mkdir()


def _pipe(path):
    path.unlink()
    os.mkfifo(path)


IN_ITS_PLACE = {
    "a link": (_linked, "is a symbolic link"),
    "a broken link": (_broken, "is a symbolic link"),
    "a folder": (_folder, "is no plain file"),
    "a pipe": (_pipe, "is no plain file"),
    "other bytes": (lambda path: path.write_bytes(b'{"a": "\xff"}'), "is no UTF-8 from byte 7 on"),
    "a list": (lambda path: path.write_text("[1]"), "results.json is no table"),
}


@pytest.mark.parametrize("kind", IN_ITS_PLACE)
@pytest.mark.parametrize("reader", [one for one in READERS if one != "validate"])
def test_what_stands_in_place_of_results_is_named(reader, kind, folder, registry):
    put, said = IN_ITS_PLACE[kind]
    put(folder / RESULTS)
    assert said in told(reader, folder, registry, kind)


def test_folder_without_results_is_wrong_usage(tmp_path):
    with pytest.raises(UsageError, match=r"holds no results.json"):
        open_folder(tmp_path)


def test_error_names_the_first_path_and_how_many_more_there_are(body, folder):
    for one in body["records"][:3]:
        one["bytes"]["up"]["encoded"] = None
    (folder / RESULTS).write_text(json.dumps(body), encoding="utf-8")
    with pytest.raises(StoreError, match=r"/1: `bytes.up.encoded`: input should be .* 2 more: `fedgen-bench validate"):
        open_folder(folder)


def test_values_near_the_largest_float_have_an_interval():
    found = interval([1e308, -1e308])
    assert found.mean == 0
    assert found.std == pytest.approx(math.sqrt(2) * 1e308)


def test_compare_reads_a_published_folder(folder):
    arguments = ["compare", "--suite", "cifar10", "--leaderboards", str(folder.parent), "frozen", "fedgen_edge"]
    said = CliRunner().invoke(cli, arguments)
    assert said.exit_code == 0, said.output
    assert "95 % interval" in said.output
