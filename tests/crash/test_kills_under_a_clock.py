"""SIGKILL while the simulated clock runs: the resumed run ends with the bytes, and the times, of one never killed."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import crash_driver
import pytest

POINTS = ("round.began", "client.sent", "gate.admitted", "round.inserted", "round.committed", "round.cleaned")


@dataclass(frozen=True)
class NeverKilled:
    root: Path
    passes: dict[str, int]


@pytest.fixture(scope="module")
def never_killed() -> Iterator[NeverKilled]:
    with crash_driver.scratch() as root:
        given = {"root": str(root), "devices": crash_driver.DEVICES}
        kind, told = crash_driver.child(crash_driver.run_world, given, environ={"FEDGEN_KILL": "nowhere:1"})
        assert (kind, told["ended"]) == ("ok", ["done"] * len(crash_driver.ON_DEVICES))
        yield NeverKilled(root, told["passes"])


def test_the_clock_ran_and_somebody_was_late(never_killed):
    with closing(sqlite3.connect(never_killed.root / "runs" / "fedgen.sqlite")) as db:
        clocks = [json.loads(report)["clock"] for (report,) in db.execute("SELECT report FROM rounds")]
    assert len(clocks) == crash_driver.N_ROUNDS * len(crash_driver.ON_DEVICES)
    assert {client["code"] for clock in clocks for client in clock["clients"]} >= {"", "late"}


@pytest.mark.parametrize("point", POINTS)
def test_resume_after_a_kill_ends_byte_equal(point, never_killed):
    plan = [(point, 3), (point, 2)]
    how, wrong = crash_driver.kill_and_resume(never_killed.root, plan, crash_driver.DEVICES)
    assert (how, wrong) == (["killed", "killed"], [])


@pytest.mark.parametrize("point", POINTS)
def test_resume_between_arrivals_ends_byte_equal(point, never_killed):
    """The last cell is asynchronous, so that late passes are its."""
    plan = [(point, never_killed.passes[point] - 2), (point, 1)]
    how, wrong = crash_driver.kill_and_resume(never_killed.root, plan, crash_driver.DEVICES)
    assert (how, wrong) == (["killed", "killed"], [])
