"""Cells run in a store that is thrown away, to see where their time, bytes and memory go."""

from __future__ import annotations

import csv
import io
import os
import tempfile
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedgen_bench.base import spans
from fedgen_bench.base.errors import UsageError
from fedgen_bench.base.files import write_atomic
from fedgen_bench.base.spans import span
from fedgen_bench.run.events import Event, OnEvent
from fedgen_bench.run.operators import FitWatch, Operator
from fedgen_bench.run.phases import Phase, phases
from fedgen_bench.run.trace import trace
from fedgen_bench.session.answers import OnPlan
from fedgen_bench.session.running import Selection, run
from fedgen_bench.session.workplace import Workplace
from fedgen_bench.suite.load import load_suite

if TYPE_CHECKING:
    from fedgen_bench.contract.specs import SuiteSource

MOST_ROUNDS = 2  # of a cell, where nothing else is asked for: the first and one that is like all others
_ROUNDS = "federation.rounds"
_WARMUP = "training.schedule.warmup_rounds"


@dataclass(frozen=True)
class Profile:
    """Where the time, bytes and memory of some cells went.

    Args:
        phases: in the order in which they began.
        operators: of torch in two fits, the slowest first; empty where they were not asked for.
        ended: how each cell ended.
        folder: where `phases.csv` and `trace.json` are, and with operators `operators.csv` and `operators.json`.
    """

    phases: tuple[Phase, ...]
    operators: tuple[Operator, ...]
    ended: tuple[Event, ...]
    folder: Path


def profile(
    source: SuiteSource,
    selection: Selection,
    at: Workplace,
    *,
    rounds: int | None,
    operators: bool,
    out: Path | None,
    on_plan: OnPlan,
    on_event: OnEvent,
) -> Profile:
    """Run the cells, the suite's reference under its first seed where none are chosen, and write what was seen."""
    where = out or Path("profile", source.name)
    _check_folder(where)
    if operators:
        at = _alone(at)
        os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # read when torch is imported: else it fills stderr
    watch = FitWatch()
    with tempfile.TemporaryDirectory(prefix="fedgen-profile-") as folder:
        scratch, kept = Path(folder), Path(folder, "spans")
        kept.mkdir()
        with spans.kept(kept, {"fit": watch.around} if operators else {}), span("command"):
            results = run(
                source,
                _chosen(source, selection, at, rounds),
                at,
                runs=scratch / "runs",
                leaderboards=scratch / "leaderboards",
                verbose=False,
                keep_clients=False,
                on_plan=on_plan,
                on_event=on_event,
            )
        found = spans.read(kept)
    seen = Profile(phases(found), watch.operators, results.ended, where)
    files = {"phases.csv": _csv(Phase, seen.phases), "trace.json": trace(found, os.getpid())}
    if operators:
        files |= {"operators.csv": _csv(Operator, seen.operators), "operators.json": watch.trace}
    where.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        write_atomic(where / name, text.encode())
    return seen


def _check_folder(where: Path) -> None:
    """Raises UsageError where no files can be written to, before anything is run for them."""
    there = next(one for one in (where, *where.parents) if os.path.lexists(one))
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(f"{there} is no folder that can be written to. Name another one with `out`.")


def _alone(at: Workplace) -> Workplace:
    if at.engine != "local" or (at.jobs or 1) > 1:
        raise UsageError("Operators are those of fits in this process. Leave out `engine` and `jobs`, or `operators`.")
    return replace(at, jobs=1)


def _chosen(source: SuiteSource, selection: Selection, at: Workplace, rounds: int | None) -> Selection:
    suite = load_suite(source, at.registry, selection.overrides)
    overrides = selection.overrides
    if rounds is not None or not any(one.partition("=")[0].strip() == _ROUNDS for one in overrides):
        n_rounds = min(suite.federation.rounds, MOST_ROUNDS) if rounds is None else rounds
        overrides = (*overrides, f"{_ROUNDS}={n_rounds}")
        schedule = suite.training.schedule
        if schedule is not None and schedule.warmup_rounds >= n_rounds:  # which leaves none at the full rate
            overrides = (*overrides, f"{_WARMUP}=0")
    return replace(
        selection,
        contenders=selection.contenders or (suite.suite.reference,),
        seeds=selection.seeds or suite.seeds.leaderboard[:1],
        overrides=overrides,
    )


def _csv(kind: Any, rows: Sequence[Any]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(one.name for one in fields(kind))
    writer.writerows(map(astuple, rows))
    return out.getvalue()
