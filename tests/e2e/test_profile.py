"""A profile of the toy world: a table, a trace with nested spans and a row for every process, and the same bits."""

from __future__ import annotations

import csv
import json
from collections import defaultdict

import pytest

import fedgen_bench
from fedgen_bench.base import spans
from fedgen_bench.run.operators import FitWatch
from fedgen_bench.testing import toy

COMMAND = ("profile", "--suite", "toy", "--plugin", toy.__file__, "--device", "cpu")
PHASES = {
    "command", "import", "preflight", "load", "split", "attach", "cell", "rehearse", "round", "engine", "send",
    "encode", "prepare", "decode", "fit", "reply", "gate", "drift", "aggregate", "state", "evaluate", "commit",
    "final evaluation", "personalisation", "costs", "finish", "publish",
}  # fmt: skip


def rows_of(folder, name):
    with (folder / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def drawn(folder):
    """The spans of a trace by process and thread, and the names of its processes."""
    by_row, names = defaultdict(list), {}
    for event in json.loads((folder / "trace.json").read_text(encoding="utf-8"))["traceEvents"]:
        if event["ph"] == "X":
            by_row[event["pid"], event["tid"]].append(event)
        elif event["name"] == "process_name":
            names[event["pid"]] = event["args"]["name"]
    return by_row, names


def assert_nested(events):
    """Of two spans of a row, one is within the other or they do not meet; a viewer draws no others."""
    ends = []
    for event in sorted(events, key=lambda one: (one["ts"], -one["dur"])):
        while ends and ends[-1] <= event["ts"] + 0.5:  # half a microsecond: of rounding
            ends.pop()
        assert not ends or event["ts"] + event["dur"] <= ends[-1] + 0.5, event
        ends.append(event["ts"] + event["dur"])


def test_profile_of_the_reference_in_this_process(fedgen, tmp_path):
    done = fedgen(*COMMAND, "--operators")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "profile" / "toy"
    assert {path.name for path in tmp_path.iterdir()} == {"profile"}
    found = {row["name"]: row for row in rows_of(folder, "phases.csv")}
    assert found.keys() >= PHASES
    assert sum(float(row["share"]) for row in found.values()) == pytest.approx(1)
    assert (found["round"]["calls"], found["fit"]["calls"], found["cell"]["calls"]) == ("2", "6", "1")  # 2 x 3 clients
    assert int(found["decode"]["n_bytes"]) == int(found["encode"]["n_bytes"]) > 0
    assert int(found["reply"]["n_bytes"]) == int(found["gate"]["n_bytes"]) > 0
    assert all(line.split()[0] in done.stdout for line in ("round", "fit", "aten::mul"))
    assert "aten::mul" in {row["name"] for row in rows_of(folder, "operators.csv")}
    by_row, names = drawn(folder)
    assert list(names.values()) == ["coordinator"]
    (events,) = by_row.values()
    assert_nested(events)
    assert json.loads((folder / "operators.json").read_text(encoding="utf-8"))["traceEvents"]


def test_profile_has_a_row_for_every_worker(fedgen, tmp_path):
    done = fedgen(*COMMAND, "--engine", "processes", "--jobs", "2", "--rounds", "1", "--out", "seen")
    assert done.returncode == 0, done.stderr
    by_row, names = drawn(tmp_path / "seen")
    assert list(names.values()) == ["coordinator", "worker 1", "worker 2"]
    for (process, _), events in by_row.items():
        assert_nested(events)
        assert ("fit" in {one["name"] for one in events}) is (names[process] != "coordinator")


def test_what_is_profiled_gives_the_same_bits(tmp_path):
    def table(name):
        fedgen_bench.run_suite(
            "toy", seeds=[1], plugins=[toy.__file__], runs=tmp_path / name, leaderboards=tmp_path / "boards" / name,
            device="cpu", jobs=1,
        )  # fmt: skip
        results = json.loads((tmp_path / "boards" / name / "toy" / "results.json").read_text(encoding="utf-8"))
        return [{key: one[key] for key in one if key not in {"seconds", "environment"}} for one in results["records"]]

    plain = table("plain")
    kept = tmp_path / "spans"
    kept.mkdir()
    with spans.kept(kept, {"fit": FitWatch().around}):
        assert table("watched") == plain
    assert {one.name for one in spans.read(kept)} >= {"fit", "commit"}
