"""The estimate of what is left: silent until it means something, and without the start-up in it."""

from __future__ import annotations

import pytest

from fedgen_bench.cli.pace import Pace
from fedgen_bench.run.events import Event


def test_start_up_is_not_extrapolated():
    now = 0.0
    pace = Pace(10, clock=lambda: now)
    pace.note(Event("skipped", "s"))
    assert pace.left() is None
    told = []
    for cell in range(9):
        for round_index in range(4):
            now += 25.0 if cell == round_index == 0 else 1.0
            pace.note(Event("round", str(cell), 4, round_index))
        now += 1.0
        pace.note(Event("ended", str(cell)))
        told.append(pace.left())
    assert told[0] is None
    assert told[1:-1] == pytest.approx([5.0 * n for n in (7, 6, 5, 4, 3, 2, 1)])
    assert told[-1] is None
