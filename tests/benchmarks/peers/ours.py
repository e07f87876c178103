"""This harness through its Python API: store, ledger, gate, drift and all.

Called as `ours.py FOLDER ROUNDS ENGINE [COHORT]`.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from pathlib import Path

from work import Marks

from fedgen_bench import run_suite

BENCHMARKS = Path(__file__).parents[1]

if __name__ == "__main__":
    marks, engine, cohort = Marks(), sys.argv[3], sys.argv[4:] or [1]
    told = json.loads((Path(marks.folder) / "suite.json").read_text())
    threads, jobs = (2, 1) if engine == "local" else (1, 2)

    def note(event) -> None:
        if event.kind == "round":
            marks.add()
        if event.status in {"failed", "crashed", "diverged"}:
            raise SystemExit(event.reason)
        if marks.done:
            raise KeyboardInterrupt  # leaves as Ctrl-C does: the rounds are committed, nothing after them is run

    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(KeyboardInterrupt):
        run_suite(
            told["suite"],
            contenders=[told["contender"]],
            overrides=[
                *told["overrides"],
                f"training.threads={threads}",
                f"federation.rounds={marks.n_rounds + 1}",  # the last one evaluates
            ],
            plugins=[BENCHMARKS / told["plugin"]],
            runs=f"{folder}/runs",
            leaderboards=f"{folder}/leaderboards",
            device="cpu",
            engine=engine,
            jobs=jobs,
            cohort=cohort[0],
            on_event=note,
        )
    marks.tell()
