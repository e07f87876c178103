"""A published folder has no problems; what is strange is a remark, and nothing of a hostile folder is run."""

import copy
import io
import json
import os
import pickle
import struct

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from made_validation import EDGE, LEADERBOARDS, halved, record_in, redigest, said

from fedgen_bench.cli.main import cli
from fedgen_bench.contract.specs import SuiteSource
from fedgen_bench.results.manifest import write_manifest
from fedgen_bench.results.published.writing import results_text
from fedgen_bench.results.record import ONLY_WHERE_ANY, from_json
from fedgen_bench.review.validation import validate
from fedgen_bench.suite.load import load_suite

PUBLISHED = sorted(path.parent for path in LEADERBOARDS.glob("*/results.json"))


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.name)
def test_published_folder_has_no_problems(path, registry):
    report = validate(path, registry)
    assert report.problems == ()
    if path.name == "ptb-edge":  # messages that differ by rank, or have a number of steps beside, are no surprise
        assert report.notices == ()
    assert report.n_records == len(json.loads((path / "results.json").read_text())["records"])


def test_untouched_copy_has_nothing_to_say(folder, registry):
    assert validate(folder, registry).notices == ()


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
    for name in ONLY_WHERE_ANY:
        record.pop(name, None)


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
    halved(record_in(body))
    record_in(body)["curve"][-1][2] += 1
    _republished(folder, body, registry)
    assert [one.group for one in validate(folder, registry).problems] == ["ledger"]


def test_message_that_carries_less_than_was_trained_is_a_remark(folder, original, registry):
    body = copy.deepcopy(original)
    halved(record_in(body))
    (folder / "ledger.parquet").unlink()
    _republished(folder, body, registry)
    report = validate(folder, registry)
    assert report.problems == ()
    half = record_in(body)["facts"]["trainable_params"] * 4 // 2
    assert [one.text for one in report.remarks if f"carry {half:,} bytes of tensors" in one.text]


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
            redigest(record)
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
    assert problems[-1].startswith(f"{len(original['records']) - 20} more of this kind")


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

    old = b"\x16" + varint(pq.read_metadata(io.BytesIO(content)).num_rows)
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


def test_command_says_all_and_counts(folder, original):
    n = len(original["records"])
    found = CliRunner().invoke(cli, ["validate", str(folder)], standalone_mode=False)
    assert (found.return_value, found.output) == (0, f"{folder}: {n} records, 0 problems, 0 remarks\n")
    (folder / "evil\x1b[2J.py").write_text("")
    found = CliRunner().invoke(cli, ["validate", str(folder)], standalone_mode=False)
    assert found.return_value == 1
    assert "\x1b" not in found.output
    assert found.output.splitlines()[0].startswith("problem (folder): evil\\x1b[2J.py may hold code")
    assert found.output.endswith(f"{n} records, 1 problem, 0 remarks\n")


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
