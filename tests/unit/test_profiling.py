"""Sums and traces of spans, by hand, and what a profile does not take."""

from __future__ import annotations

import json
import math

import pytest

from fedgen_bench.base.errors import UsageError
from fedgen_bench.base.spans import Span
from fedgen_bench.cli.main import cli
from fedgen_bench.run.operators import FitWatch
from fedgen_bench.run.phases import phases
from fedgen_bench.run.trace import trace
from fedgen_bench.session.session import Session
from fedgen_bench.testing import toy


def made(name, began, seconds, own, *, n_bytes=0, peak=1, process=1, detail="", within=()):
    return Span(
        name=name, detail=detail, within=within, began=began, seconds=seconds, own_seconds=own, n_bytes=n_bytes,
        peak_bytes=peak, process=process, thread=10 * process,
    )  # fmt: skip


SPANS = [
    made("round", 5.0, 4.0, 1.0, peak=9, detail="0"),
    made("fit", 5.5, 2.0, 2.0, process=2, peak=12, detail="7"),
    made("gate", 6.0, 1.0, 1.0, n_bytes=30),
    made("gate", 8.0, 1.0, 1.0, n_bytes=3, peak=8),
]


def test_phases_are_summed_over_processes_as_they_first_began():
    assert [(one.name, one.calls, one.seconds, one.n_bytes, one.peak_bytes) for one in phases(SPANS)] == [
        ("round", 1, 1.0, 0, 9), ("fit", 1, 2.0, 0, 12), ("gate", 2, 2.0, 33, 8),
    ]  # fmt: skip
    assert [one.share for one in phases(SPANS)] == [0.2, 0.4, 0.4]
    assert phases([]) == ()


def test_what_rounds_do_is_the_rehearsal_s_within_it():
    spans = [
        made("rehearse", 1.0, 4.0, 1.0), made("decode", 2.0, 3.0, 3.0, n_bytes=5, peak=7, within=("cell", "rehearse")),
        made("decode", 6.0, 1.0, 1.0, n_bytes=5, within=("cell", "round")),
    ]  # fmt: skip
    assert [(one.name, one.calls, one.seconds, one.n_bytes, one.peak_bytes) for one in phases(spans)] == [
        ("rehearse", 1, 4.0, 0, 7), ("decode", 1, 1.0, 5, 1),
    ]  # fmt: skip


def test_trace_has_a_row_a_process_and_microseconds_from_the_first_span():
    events = json.loads(trace(SPANS, coordinator=1))["traceEvents"]
    assert {one["pid"]: one["args"]["name"] for one in events if one["name"] == "process_name"} == {
        1: "coordinator", 2: "worker 1",
    }  # fmt: skip
    fit = next(one for one in events if one["name"] == "fit")
    assert (fit["ph"], fit["pid"], fit["tid"], fit["ts"], fit["dur"]) == ("X", 2, 20, 0.5e6, 2e6)
    assert fit["args"] == {"of": "7", "peak_bytes": 12}


def test_fits_after_the_first_are_watched_by_operator():
    import torch

    watch = FitWatch()
    assert (watch.operators, watch.trace) == ((), "")
    for side in (2, 3, 4, 5):
        with watch.around():
            torch.ones(side, side) @ torch.ones(side, side)
    found = {one.name: one for one in watch.operators}
    assert found["aten::mm"].calls == 2
    assert math.isclose(sum(one.share for one in watch.operators), 1)
    assert [one.seconds for one in watch.operators] == sorted((one.seconds for one in watch.operators), reverse=True)
    assert any(one.get("name") == "aten::mm" for one in json.loads(watch.trace)["traceEvents"])


@pytest.mark.parametrize("elsewhere", [{"engine": "processes"}, {"jobs": 2}])
def test_operators_are_those_of_this_process(elsewhere, tmp_path):
    session = Session(plugins=[toy.__file__], device="cpu", **elsewhere)
    with pytest.raises(UsageError, match="Leave out `engine` and `jobs`"):
        session.profile("toy", operators=True, out=tmp_path)


def test_a_folder_that_cannot_be_written_to_is_told_before_anything_is_run(tmp_path):
    (tmp_path / "file").write_text("")
    session = Session(plugins=[toy.__file__], device="cpu")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UsageError, match="file is no folder that can be written to"):
            session.profile("toy", out=out, on_plan=lambda _: pytest.fail("was begun"))


@pytest.mark.parametrize(
    ("rounds", "overrides", "expected"),
    [
        (None, (), 2), (None, ("federation.rounds=1",), 1), (None, ("federation.rounds=9",), 9),
        (3, ("federation.rounds=9",), 3), (None, ("training.local_steps=1",), 2), (7, (), 7),
        (1, ("training.schedule.warmup_rounds=1",), 1), (None, ("training.schedule.warmup_rounds=1",), 2),
    ],
)  # fmt: skip
def test_rounds_are_those_asked_for_in_one_way_or_the_other(rounds, overrides, expected, tmp_path):
    def look(plan):
        assert {cell.config.federation.rounds for cell in plan.cells} == {expected}
        raise KeyboardInterrupt

    session = Session(plugins=[toy.__file__], device="cpu", jobs=1)
    with pytest.raises(KeyboardInterrupt):
        session.profile("toy", rounds=rounds, overrides=overrides, out=tmp_path, on_plan=look)


def test_an_interrupted_profile_says_that_nothing_is_kept(monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Session, "profile", interrupted)
    assert cli.main(["profile", "--suite", "toy", "--plugin", toy.__file__], standalone_mode=False) == 130
    assert capsys.readouterr().err == "Interrupted. Nothing is kept of a profile that was cut off.\n"
