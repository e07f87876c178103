"""`timing.csv`: how long cells took by the clock. No check reads it; it says what to expect of running them again."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.errors import StoreError
from fedgen_bench.base.files import plain_text, present
from fedgen_bench.results.files import TIMING
from fedgen_bench.results.published import has_results, open_folder

if TYPE_CHECKING:
    from fedgen_bench.results.store import StoredRun
    from fedgen_bench.suite.cells import CellSpec

_MOST_BYTES = 16 << 20


@dataclass(frozen=True)
class Took:
    """What cells took when they were published.

    Args:
        n_cells: those that a time is known of.
        seconds: of all of them, one after the other.
        machines: processor and class of instructions, or the accelerator, of each kind of machine.
    """

    n_cells: int
    seconds: float
    machines: tuple[str, ...]


def timing_csv(runs: Iterable[StoredRun]) -> str:
    """`timing.csv`: a line for every run."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["contender", "seed", "status", "seconds"])
    for run in sorted(runs, key=lambda one: (one.spec.contender, one.spec.seed)):
        writer.writerow([run.spec.contender, run.spec.seed, run.status, f"{run.seconds:.1f}"])
    return out.getvalue()


def published_time(folder: Path, cells: Iterable[CellSpec]) -> Took | None:
    """What these cells took in a published folder of their suite's version; None where nothing there says so."""
    asked = {(cell.suite_version, cell.contender, cell.seed) for cell in cells if not cell.off_suite}
    with contextlib.suppress(StoreError, ValueError, KeyError):  # it is for reading on: who uses the folder is told
        if asked and has_results(folder) and present(folder / TIMING):
            records = open_folder(folder).records
            lines = csv.DictReader(io.StringIO(plain_text(folder / TIMING, _MOST_BYTES)))
            seconds = {(line["contender"], int(line["seed"])): float(line["seconds"]) for line in lines}
            known = [
                one
                for one in records
                if (one.config.suite_version, one.contender, one.seed) in asked
                and one.status == "done"
                and (one.contender, one.seed) in seconds
            ]
            if known:
                machines = dict.fromkeys(_machine(one.environment) for one in known)
                return Took(len(known), sum(seconds[one.contender, one.seed] for one in known), tuple(machines))
    return None


def _machine(environment: Mapping[str, Any]) -> str:
    named = (environment.get("processor"), environment.get("instruction_set"))
    return str(environment.get("accelerator") or ", ".join(str(one) for one in named if one))
