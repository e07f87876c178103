"""A published folder has no problems; each kind of damage gives its own."""

import copy
import io
import json
import os
import pickle
import shutil
import struct
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from fedgen_bench.cli.main import cli
from fedgen_bench.contract.specs import SuiteSource
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.results.manifest import write_manifest
from fedgen_bench.results.published.writing import results_text
from fedgen_bench.results.record import from_json
from fedgen_bench.review.validation import validate
from fedgen_bench.suite.cellconfig import CellConfig
from fedgen_bench.suite.cells import CellSpec
from fedgen_bench.suite.load import load_suite

LEADERBOARDS = Path(__file__).parents[2] / "leaderboards"
PUBLISHED = sorted(path.parent for path in LEADERBOARDS.glob("*/results.json"))
CIFAR10 = LEADERBOARDS / "cifar10"
FILES = (
    "SHA256SUMS", "bands.csv", "environment.json", "ledger.parquet", "metrics.parquet", "results.json", "table.csv",
    "table.json", "table.md", "timing.csv",
)  # fmt: skip
EDGE = ("fedgen_edge", 1)
COSTS = {
    "step_flops": 1, "training_bytes": 1, "model_bytes": 1, "private_bytes": 0, "joining_bytes": 1, "n_steps": 9,
    "steps_so_far": [9],
}  # fmt: skip


@pytest.fixture(scope="module")
def registry():
    return load_registry(environ={})


@pytest.fixture
def folder(tmp_path):
    """A copy of what results, ledger and tables are in; pictures are left out."""
    copied = tmp_path / "cifar10"
    copied.mkdir()
    for name in FILES:
        shutil.copyfile(CIFAR10 / name, copied / name)
    write_manifest(copied)
    return copied


@pytest.fixture(scope="module")
def original():
    return json.loads((CIFAR10 / "results.json").read_text())


def record_in(body, key=EDGE):
    return next(one for one in body["records"] if (one["contender"], one["seed"]) == key)


def said(report, group):
    return [one.text for one in report.problems if one.group == group]


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.name)
def test_published_folder_has_no_problems(path, registry):
    report = validate(path, registry)
    assert report.problems == ()
    assert report.n_records == len(json.loads((path / "results.json").read_text())["records"])


def test_untouched_copy_has_nothing_to_say(folder, registry):
    assert validate(folder, registry).notices == ()


def _set(*path, value):
    def change(record):
        node = record
        for part in path[:-1]:
            node = node[part]
        node[path[-1]] = value

    return change


def _drop(*path):
    def change(record):
        node = record
        for part in path[:-1]:
            node = node[part]
        del node[path[-1]]

    return change


def _redigest(record):
    """What a careful forger does: the digest of the changed configuration."""
    spec = CellSpec(CellConfig.from_json(record["config"]))
    record["digest"] = spec.digest


def _more_rounds(record):
    record["config"]["federation"]["rounds"] = 7
    _redigest(record)


def _tuned(record):
    record["config"]["contender"]["learning_rate"] = 0.032
    _redigest(record)


def _renamed(record):
    record["contender"] = record["config"]["contender"]["name"] = "ghost"
    _redigest(record)


def _other_seed(record):
    record["seed"] = record["config"]["seed"] = 9
    _redigest(record)


def _halved(record):
    """Half of the uplink, in all totals and in the curve alike."""
    up = record["bytes"]["up"]
    up["tensors"] //= 2
    up["encoded"] = up["tensors"] + up["headers"]
    n = len(record["curve"])
    record["curve"] = [[r, value, up["encoded"] * (i + 1) // n] for i, (r, value, _) in enumerate(record["curve"])]


def _falling(record):
    record["curve"][2][2] = record["curve"][1][2] - 1


def _pooled(record):
    record["facts"]["cohort_kind"] = "pooled"


DAMAGED_RECORDS = {
    "missing key": (_drop("client_rounds"), "schema", "fedgen_edge/1: `client_rounds` is missing"),
    "unknown key": (_set("pickle", value="gASVAAAA"), "schema", "fedgen_edge/1: `pickle` is not in schema 1"),
    "wrong type": (_set("client_rounds", value="60"), "schema", "`client_rounds`: input should be a valid integer"),
    "number as float": (_set("seed", value=1.0), "schema", "`seed`"),
    "unknown status": (_set("status", value="finished"), "schema", "`status` is 'finished'"),
    "not a number": (_set("metrics", "test/fid_cifarnet", value=float("nan")), "schema", "is nan"),
    "infinite": (_set("curve", 0, 1, value=float("inf")), "schema", "`curve.0.1` is inf"),
    "costs elsewhere": (_set("costs", value=COSTS), "schema", "`costs.steps_so_far` has 1 values for 6 points"),
    "costs that fall": (
        _set("costs", value=COSTS | {"steps_so_far": [5, 4]}), "schema", "`costs`: value error, `steps_so_far` falls"
    ),
    "costs below nothing": (_set("costs", value=COSTS | {"model_bytes": -1}), "schema", "`costs.model_bytes`"),
    "huge integer": (_set("bytes", "up", "encoded", value=10**400), "schema", "more than 64 bits"),
    "negative bytes": (_set("bytes", "down", "headers", value=-1), "schema", "`bytes.down.headers`"),
    "no sha256": (_set("digests", "cohort", value="abc"), "schema", "`digests.cohort`"),
    "no sha256 of data": (_set("facts", "data", "backbone mini-unet", value="x" * 64), "values", "no sha256"),
    "digest": (_set("digest", value="0" * 24), "suite", "`digest` is " + "0" * 24),
    "configuration": (_set("config", "training", "local_steps", value=6), "suite", "`training.local_steps` is 6"),
    "configuration, forged": (_tuned, "suite", "`contender.learning_rate` is 0.032, the suite has 0.016"),
    "budget, forged": (_more_rounds, "suite", "`federation.rounds` is 7, the suite has 6"),
    "unknown contender": (_renamed, "suite", "ghost/1: the suite has no such contender"),
    "missing record": (_renamed, "completeness", "no record of fedgen_edge for seed 1"),
    "unknown seed": (_other_seed, "suite", "seed 9 is none of the suite's (1, 2, 3)"),
    "provenance": (_set("provenance", "strategy", "name", value="fedavg"), "suite", "`provenance.strategy`"),
    "pairing": (_set("digests", "cohort", value="0" * 64), "pairing", "differ in their cohort digest"),
    "data": (_set("facts", "data", "backbone mini-unet", value="0" * 64), "pairing", "differ in their data digest"),
    "total": (_set("bytes", "up", "encoded", value=5649121), "ledger", "`bytes.up.encoded` is 5,649,121"),
    "messages": (_set("bytes", "up", "messages", value=61), "ledger", "61 messages up"),
    "client rounds": (_set("client_rounds", value=61), "ledger", "`client_rounds` is 61"),
    "falling uplink": (_falling, "ledger", "falls from one round"),
    "forged totals": (_halved, "ledger", "ledger.parquet, fedgen_edge/1: its messages sum to 5,649,120"),
    "pooled": (_pooled, "ledger", "`facts.cohort_kind` is 'pooled'. Nothing travels"),
    "pooled strategy": (_pooled, "suite", "strategy `fedgen_edge` is 'sampled'"),
    "below the minimum": (_set("metrics", "test/fid_cifarnet", value=-1.0), "values", "never below"),
    "better metric": (_set("metrics", "test/fid_cifarnet", value=1.0), "values", "metrics.parquet, fedgen_edge/1"),
    "metric of nothing": (_set("metrics", "test/accuracy", value=1.0), "values", "none of the suite's metrics"),
    "missing metric": (_drop("metrics", "test/kid_cifarnet"), "values", "`metrics.test/kid_cifarnet` is missing"),
    "worst decile": (
        _set("metrics", "global/denoising_loss/worst_decile", value=0.01), "values", "better than the mean"
    ),
    "mean of clients": (_set("metrics", "global/denoising_loss/mean", value=0.09), "values", "`per_client.global`"),
    "client": (_set("per_client", "global", "77", value=0.08), "values", "`per_client.global.77` is no client"),
    "half of nobody": (
        _set("halves", value={"global": {"77": [0.08, 0.09]}}), "values", "`halves.global` has client 77, whom"
    ),
    "half below": (
        _set("halves", value={"kept": {"1": [0.08, -1.0]}}), "values", "`halves.kept.1` is -1.0"
    ),
    "round": (_set("curve", 5, 0, value=8), "values", "its `curve` has round 8"),
    "order": (_set("curve", 1, 0, value=1), "values", "rounds of its `curve` do not increase"),
    "curve cut off": (_drop("curve", 5), "values", "does not reach round 6"),
    "parameters": (_set("facts", "trainable_params", value=20735), "values", "`facts.trainable_params` is 20,735"),
    "picture": (_set("showcase", value="R0lGODlh"), "values", "`showcase` is no PNG"),
    "environment": (_set("environment", "threads", value=2), "environments", "`threads` is 2, centralized_full/1 has"),
    "table": (_set("metrics", "test/fid_cifarnet", value=1.0), "files", "table.csv is not what results.json gives"),
    "bands": (_set("metrics", "test/fid_cifarnet", value=1.0), "files", "bands.csv is not what results.json gives"),
    "environments file": (_set("environment", "threads", value=2), "files", "environment.json is not what"),
    "manifest": (_set("reason", value=""), "manifest", "results.json was changed"),
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGED_RECORDS)
def test_damaged_record_is_named(kind, folder, original, registry):
    change, group, expected = DAMAGED_RECORDS[kind]
    body = copy.deepcopy(original)
    change(record_in(body))
    (folder / "results.json").write_text(json.dumps(body, indent=0 if kind == "manifest" else 1))
    if kind != "manifest":
        write_manifest(folder)
    assert [text for text in said(validate(folder, registry), group) if expected in text]


def _cut_off(folder):
    path = folder / "results.json"
    path.write_bytes(path.read_bytes()[:1000])


def _newer(folder):
    (folder / "results.json").write_text('{"schema": 2, "runs": []}')


def _twice(folder):
    text = (folder / "results.json").read_text()
    (folder / "results.json").write_text(text.replace('"schema": 1,', '"schema": 1, "schema": 1,'))


def _deep(folder):
    (folder / "results.json").write_text("[" * 200_000 + "]" * 200_000)


def _suite_text(old, new):
    def change(folder):
        body = json.loads((folder / "results.json").read_text())
        assert old in body["suite_text"]
        body["suite_text"] = body["suite_text"].replace(old, new)
        (folder / "results.json").write_text(json.dumps(body))

    return change


def _duplicate(folder):
    body = json.loads((folder / "results.json").read_text())
    body["records"].append(record_in(body))
    (folder / "results.json").write_text(json.dumps(body))


def _row(name, n, **changes):
    """One row of a Parquet file changed; None removes it."""

    def change(folder):
        table = pq.read_table(folder / name)
        rows = table.to_pylist()
        rows[n] |= {key: value(rows[n]) if callable(value) else value for key, value in changes.items()}
        if not changes:
            del rows[n]
        pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), folder / name)

    return change


def _append(name, text):
    def change(folder):
        with (folder / name).open("a") as handle:
            handle.write(text)

    return change


def _text(name, content):
    return lambda folder: (folder / name).write_bytes(content)


DAMAGED_FOLDERS = {
    "cut off": (_cut_off, "schema", "was cut off"),
    "newer schema": (_newer, "schema", "has schema 2, this version knows 1. Upgrade"),
    "key twice": (_twice, "schema", "the key `schema` twice"),
    "nested": (_deep, "schema", "nested too deeply"),
    "no results": (lambda folder: (folder / "results.json").unlink(), "schema", "no results.json"),
    "another suite": (_suite_text("local_steps = 5", "local_steps = 50"), "suite", "A version never changes"),
    "broken suite": (_suite_text("local_steps = 5", "local_steps = 0"), "suite", "`training.local_steps`"),
    "suite's version": (_suite_text("version = 1\n", "version = 2\n"), "suite", "the suite's text has 2"),
    "record twice": (_duplicate, "suite", "a second record of this run"),
    "message's bytes": (_row("ledger.parquet", 0, tensor_bytes=1), "ledger", "with 1 of tensors"),
    "message of nobody": (_row("ledger.parquet", 0, contender="ghost"), "ledger", "has messages of ghost/1"),
    "message lost": (_row("ledger.parquet", 0), "ledger", "`bytes.down.messages` = 60"),
    "message late": (_row("ledger.parquet", 0, round_index=6), "ledger", "the suite has 6 rounds"),
    "message twice": (_row("ledger.parquet", 1, direction="down"), "ledger", "a second message"),
    "message sideways": (_row("ledger.parquet", 0, direction="side"), "ledger", "a direction is `up` or `down`"),
    "another client": (_row("ledger.parquet", 0, client_id=0), "ledger", "asks 11 clients, the suite 10"),
    "figure": (_row("metrics.parquet", 0, value=2.0), "values", "times a client was asked"),
    "figure not finite": (_row("metrics.parquet", 2, value=float("nan")), "values", "is nan. No run gives that"),
    "figure of a round": (
        _row("metrics.parquet", 3, value=lambda row: row["value"] / 2), "values", "valid_subset/denoising_loss is"
    ),
    "long text": (_row("ledger.parquet", 0, phase="x" * 201), "ledger", "more than 200 characters"),
    "empty cell": (_row("ledger.parquet", 0, client_id=None), "ledger", "empty cells"),
    "no Parquet": (_text("ledger.parquet", b"PAR1"), "ledger", "no Parquet file that can be read"),
    "table": (_append("table.csv", "9,ghost\n"), "files", "table.csv is not what results.json gives"),
    "table's page": (_append("table.md", "<script>"), "files", "table.md is not what results.json gives"),
    "no table": (lambda folder: (folder / "table.json").unlink(), "files", "table.json is missing"),
    "times": (_append("timing.csv", "ghost,1,done,2.0\n"), "files", "timing.csv lists other runs"),
    "drawing": (_text("convergence.svg", b"<svg onload='x()'/>"), "folder", "which a browser would run"),
    "picture": (_text("samples.png", b"GIF89a"), "folder", "samples.png is no PNG"),
    "module": (_text("conftest.py", b"raise SystemExit"), "folder", "conftest.py may hold code"),
    "weights": (_text("model.pt", b"PK"), "folder", "model.pt may hold code"),
    "program": (_text("table", b"\x7fELF\x02\x01\x01"), "folder", "table begins like a program"),
    "name": (_text("ta\nble.csv", b""), "folder", "ta\\nble.csv has a name"),
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGED_FOLDERS)
def test_damaged_folder_is_named(kind, folder, registry):
    change, group, expected = DAMAGED_FOLDERS[kind]
    change(folder)
    write_manifest(folder)
    assert [text for text in said(validate(folder, registry), group) if expected in text]


def test_cohorts_that_were_exchanged_do_not_give_the_digest(folder, registry):
    """Rounds 0 and 1 of one run exchange their clients: every sum stays as it was."""
    table = pq.read_table(folder / "ledger.parquet")
    rows = table.to_pylist()
    own = [row for row in rows if (row["contender"], row["seed"]) == EDGE]
    ids = {i: sorted({row["client_id"] for row in own if row["round_index"] == i}) for i in (0, 1)}
    for row in own:
        if row["round_index"] in ids:
            here, there = ids[row["round_index"]], ids[1 - row["round_index"]]
            row["client_id"] = there[here.index(row["client_id"])]
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), folder / "ledger.parquet")
    assert [text for text in said(validate(folder, registry), "ledger") if "not those of `digests.cohort`" in text]


def _diverged(record):
    record |= {
        "status": "diverged", "reason": "Round 2: loss is nan", "metrics": {}, "per_client": {}, "digests": {},
        "facts": {}, "curve": [],
    }  # fmt: skip
    record.pop("showcase", None)


def test_run_that_diverged_is_a_remark(folder, original, registry):
    body = copy.deepcopy(original)
    _diverged(record_in(body))
    (folder / "results.json").write_text(json.dumps(body))
    report = validate(folder, registry)
    assert "results.json, fedgen_edge/1: diverged: Round 2: loss is nan" in {one.text for one in report.remarks}
    assert said(report, "completeness") == said(report, "schema") == []


def _republished(folder, body, registry):
    """Results, and the files that follow from them, as publishing writes them."""
    from fedgen_bench.results.bands import bands_csv
    from fedgen_bench.results.contents import table_files
    from fedgen_bench.results.leaderboard import build_table

    suite = load_suite(SuiteSource(name="cifar10", text=body["suite_text"], path="suite"), registry)
    records = [from_json(one) for one in body["records"]]
    (folder / "results.json").write_text(results_text(suite, body["suite_text"], records))
    (folder / "bands.csv").write_text(bands_csv(records))
    table = build_table(suite, records, registry)
    for name in ("table.csv", "table.json", "table.md"):
        (folder / name).write_bytes(table_files(table, registry, (name,))[name])
    write_manifest(folder)


def test_folder_without_parquet_has_remarks_and_totals_are_still_checked(folder, original, registry):
    body = copy.deepcopy(original)
    (folder / "ledger.parquet").unlink()
    (folder / "metrics.parquet").unlink()
    _republished(folder, body, registry)
    report = validate(folder, registry)
    assert report.problems == ()
    assert [one.text.partition(" (")[0] for one in report.remarks] == [
        "There is no ledger.parquet",
        "There is no metrics.parquet",
    ]
    _halved(record_in(body))
    record_in(body)["curve"][-1][2] += 1
    _republished(folder, body, registry)
    assert [one.group for one in validate(folder, registry).problems] == ["ledger"]


def test_message_that_carries_less_than_was_trained_is_a_remark(folder, original, registry):
    body = copy.deepcopy(original)
    _halved(record_in(body))
    (folder / "ledger.parquet").unlink()
    _republished(folder, body, registry)
    report = validate(folder, registry)
    assert report.problems == ()
    assert [one.text for one in report.remarks if "carry 41,472 bytes of tensors" in one.text]  # half of 20,736 x 4


def test_unknown_component_is_a_remark_with_its_distribution(folder, original, registry):
    body = copy.deepcopy(original)
    body["suite_text"] = body["suite_text"].replace(
        'strategy = { name = "fedgen_edge" }', 'strategy = { name = "fednew" }'
    )
    for record in body["records"]:
        if record["contender"] == "fedgen_edge":
            record["config"]["contender"]["strategy"]["name"] = "fednew"
            record["provenance"]["strategy"] = {
                "name": "fednew", "distribution": "fednew-plugin", "version": "2.1", "source_sha256": "",
            }  # fmt: skip
            _redigest(record)
    for name in ("ledger.parquet", "metrics.parquet"):
        (folder / name).unlink()
    (folder / "results.json").write_text(json.dumps(body))
    write_manifest(folder)
    report = validate(folder, registry)
    assert report.problems == ()
    assert [
        one.text
        for one in report.remarks
        if "`fednew` is not installed here" in one.text and "fednew-plugin 2.1" in one.text
    ]


@pytest.mark.parametrize(
    ("distributions", "said"),
    [
        (["file:new.py"], "give the file with `--plugin new.py`"),
        (["new-plugin"], "install it"),
        (["file:new.py", "new-plugin"], "install it, or give it with `--plugin new.py`"),
        ([], "install it"),
    ],
)
def test_how_a_missing_component_is_had(distributions, said):
    from fedgen_bench.results.record import Origin
    from fedgen_bench.review.validation.origins import how_to_get

    came = [Origin(name="mine", distribution=one, version="1", source_sha256="") for one in distributions]
    assert how_to_get(came) == said


def test_missing_manifest_is_a_remark(folder, registry):
    (folder / "SHA256SUMS").unlink()
    report = validate(folder, registry)
    assert [one.group for one in report.notices] == ["manifest"]
    assert report.problems == ()


def test_commits_that_differ_are_a_remark(folder, original, registry):
    body = copy.deepcopy(original)
    record_in(body)["environment"]["commit"] = "0" * 40 + "+dirty"
    (folder / "environment.json").unlink()
    _republished(folder, body, registry)
    report = validate(folder, registry)
    assert report.problems == ()
    assert [one.text[:32] for one in report.remarks if one.group == "environments"] == [
        "results.json: records of 2 commi", "results.json: records made from ",
    ]  # fmt: skip


def test_many_findings_of_a_kind_are_counted(folder, original, registry):
    body = copy.deepcopy(original)
    for record in body["records"]:
        record["digest"] = "0" * 24
    (folder / "results.json").write_text(json.dumps(body))
    problems = said(validate(folder, registry), "suite")
    assert len(problems) == 21
    assert problems[-1].startswith("4 more of this kind")  # 24 records, 20 are shown


class _Trap:
    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


def _thrift_rows(content, n_rows):
    """A Parquet file whose footer says that it has another number of rows (a zigzag varint in field 3)."""
    length = struct.unpack("<I", content[-8:-4])[0]
    footer = content[-8 - length : -8]

    def varint(value):
        value <<= 1
        out = bytearray()
        while value > 0x7F:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        return bytes([*out, value])

    old = b"\x16" + varint(1440)
    assert footer.count(old) >= 1
    at = footer.index(old)
    changed = footer[:at] + b"\x16" + varint(n_rows) + footer[at + len(old) :]
    return content[: -8 - length] + changed + struct.pack("<I", len(changed)) + b"PAR1"


def test_hostile_folder_leaves_no_trace(folder, tmp_path, registry, monkeypatch):
    traces = [tmp_path / f"trace-{i}" for i in range(3)]
    secret = tmp_path / "secret"
    secret.write_text("not to be read")
    for name in ("conftest.py", "sitecustomize.py", "fedgen_bench.py"):
        (folder / name).write_text(f"import os\nos.mkdir({str(traces[0])!r})\n")
    (folder / "state.pkl").write_bytes(pickle.dumps(_Trap(traces[1])))
    (folder / "environment.json").write_bytes(pickle.dumps(_Trap(traces[2])))
    (folder / "timing.csv").unlink()
    (folder / "timing.csv").symlink_to(secret)
    (folder / "more").symlink_to("/")
    os.mkfifo(folder / "pipe.csv")
    with (folder / "metrics.parquet").open("wb") as handle:
        handle.truncate((64 << 20) + 1)
    content = (folder / "ledger.parquet").read_bytes()
    (folder / "ledger.parquet").write_bytes(_thrift_rows(content, 10**12))
    before = sorted(folder.iterdir())
    monkeypatch.chdir(folder)
    problems = [one.text for one in validate(folder, registry).problems]
    assert not [trace for trace in traces if trace.exists()]
    assert sorted(folder.iterdir()) == before
    for expected in (
        "conftest.py may hold code", "state.pkl may hold code", "environment.json begins like a pickle",
        "timing.csv is a symbolic link", "more is a symbolic link", "pipe.csv is no plain file",
        "metrics.parquet has 67,108,865 bytes", "ledger.parquet says that it holds 1,000,000,000,000 rows",
    ):  # fmt: skip
        assert [text for text in problems if expected in text], expected
    assert not [text for text in problems if "not to be read" in text]


def test_trap_would_leave_a_trace(tmp_path):
    pickle.load(io.BytesIO(pickle.dumps(_Trap(tmp_path / "trace"))))
    assert (tmp_path / "trace").is_dir()


def test_command_says_all_and_counts(folder):
    found = CliRunner().invoke(cli, ["validate", str(folder)], standalone_mode=False)
    assert (found.return_value, found.output) == (0, f"{folder}: 24 records, 0 problems, 0 remarks\n")
    (folder / "evil\x1b[2J.py").write_text("")
    found = CliRunner().invoke(cli, ["validate", str(folder)], standalone_mode=False)
    assert found.return_value == 1
    assert "\x1b" not in found.output
    assert found.output.splitlines()[0].startswith("problem (folder): evil\\x1b[2J.py may hold code")
    assert found.output.endswith("24 records, 1 problem, 0 remarks\n")


def test_command_wants_a_folder(tmp_path):
    found = CliRunner().invoke(cli, ["validate", str(tmp_path / "none")], standalone_mode=False)
    assert found.exception.exit_code == 2


def test_record_of_an_older_version_of_a_component_is_a_remark_and_of_a_newer_one_a_problem(registry):
    published = next(path for path in PUBLISHED if path.name == "ptb-lora-zoo")
    texts = [one.text for one in validate(published, registry).notices if "results of the installed" in one.text]
    assert any("fedsa_lora/1: made with version 1 of `fedsa_lora`" in text for text in texts)
    assert {text.split(": ")[0].rsplit(", ")[-1].split("/")[0] for text in texts} == {
        "fedsa_lora",
        "ffa_lora",
        "rolora",
    }


@pytest.mark.parametrize(
    ("ours", "theirs", "older"),
    [("1", "2", True), ("2", "2", False), ("3", "2", False), ("10", "9", False), (1, "2", False), ("x", "2", False)],
)
def test_versions_are_compared_as_numbers(ours, theirs, older):
    from fedgen_bench.review.validation.configurations import _at_recorded_versions

    def component(version):
        return {"strategy": {"name": "x", "version": version, "params": {}}}

    result, aged = _at_recorded_versions(component(ours), component(theirs))
    assert result == component(ours if older else theirs)
    assert bool(aged) is older
