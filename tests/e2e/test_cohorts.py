"""A contender of `quick`, several clients in one pass: stopped and resumed, on processes, run again."""

from __future__ import annotations

import json

import pytest

from fedgen_bench.session.session import Session

CELL = {"contenders": ["fedgen_edge"], "seeds": [1]}
SHORT = ["federation.rounds=2", "federation.clients_per_round=4", "evaluation.personalized_clients=2"]


def session(folder, **changed):
    values = {"cohort": 3, "device": "cpu", "jobs": 1} | changed
    return Session(runs=folder / "runs", leaderboards=folder / "leaderboards", **values)


def record(results):
    (one,) = results.records
    return one


@pytest.fixture(scope="module")
def fused(tmp_path_factory):
    return record(session(tmp_path_factory.mktemp("fused")).run("quick", **CELL, overrides=SHORT))


def outcome(one):
    return one.metrics, one.digests, one.bytes, one.facts, one.curve, one.environment


def test_cohort_is_recorded_and_gives_the_same_within_rounding(fused, tmp_path):
    alone = record(session(tmp_path, cohort=1).run("quick", **CELL, overrides=SHORT))
    assert fused.environment["cohort"] == 3
    assert "cohort" not in alone.environment
    assert (fused.digests, fused.bytes) == (alone.digests, alone.bytes)
    assert fused.facts.final_sha256 != alone.facts.final_sha256
    assert fused.metrics == pytest.approx(dict(alone.metrics), rel=1e-4)


def test_cell_that_was_stopped_goes_on_in_its_cohort(fused, tmp_path):
    def stop(event):
        if event.kind == "round":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        session(tmp_path).run("quick", **CELL, overrides=SHORT, on_event=stop)
    assert outcome(record(session(tmp_path, cohort=1).run("quick", **CELL, overrides=SHORT))) == outcome(fused)


def test_cohort_has_the_same_bits_on_other_processes(fused, tmp_path):
    other = session(tmp_path, engine="processes", jobs=2)
    assert outcome(record(other.run("quick", **CELL, overrides=SHORT))) == outcome(fused)


def test_cell_is_run_again_in_the_cohort_that_it_was_published_with(tmp_path):
    session(tmp_path).run("quick", **CELL)
    again = session(tmp_path, cohort="auto").reproduce(tmp_path / "leaderboards" / "quick", out=tmp_path / "again")
    (cell,) = again.cells
    assert cell.reproduced
    assert (cell.tier.name, cell.environment["cohort"]) == ("exact", 3)
    assert json.loads(again.path.read_text())["reproduced"]
