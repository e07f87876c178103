"""The tuning rule: an equal grid for every contender, one seed that is no leaderboard seed, validation only."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedgen_bench.base.errors import UsageError, unknown
from fedgen_bench.suite.cells import expand
from fedgen_bench.suite.load import load_suite
from fedgen_bench.suite.schema import SuiteSpec

if TYPE_CHECKING:
    from fedgen_bench.contract.specs import SuiteSource
    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.results.store import StoredRun
    from fedgen_bench.suite.cells import RunSpec


@dataclass(frozen=True)
class Trial:
    """One point of a contender's grid: its overrides and its run."""

    contender: str
    overrides: tuple[tuple[str, float], ...]
    spec: RunSpec


def trials(source: SuiteSource, suite: SuiteSpec, registry: Registry, contenders: Sequence[str] = ()) -> list[Trial]:
    """Every trial of the suite's `[tuning]` table, in its order.

    Raises:
        UsageError: the suite has no grid, or not for a contender.
    """
    if suite.tuning is None:
        raise UsageError(f"Suite `{suite.suite.name}` has no [tuning] table. Add one with `rounds` and `grid`.")
    for name in contenders:
        if name not in suite.tuning.grid:
            raise UsageError(unknown("tuned contender", name, suite.tuning.grid))
    found = []
    for name, grid in suite.tuning.grid.items():
        if contenders and name not in contenders:
            continue
        for point in grid:
            changes = [f"contender.{name}.{path}={value}" for path, value in point.items()]
            tuned = load_suite(
                source,
                registry,
                [f"federation.rounds={suite.tuning.rounds}", "evaluation.personalized_clients=0", *changes],
            )
            (spec,) = expand(tuned, registry, contenders=[name], seeds=[suite.seeds.tuning], purpose="tune")
            found.append(Trial(name, tuple(point.items()), spec))
    return found


def tuning_table(suite: SuiteSpec, found: Sequence[Trial], runs: Sequence[StoredRun], *, lower_is_better: bool) -> str:
    """CSV: every trial with its validation metric; `chosen` marks the best of each contender."""
    metric = f"valid/{suite.evaluation.metric}"
    by_digest = {run.spec.digest: run for run in runs}
    values: dict[str, dict[int, float]] = {}
    for i, trial in enumerate(found):
        run = by_digest.get(trial.spec.digest)
        if run is not None and metric in run.result.metrics:
            values.setdefault(trial.contender, {})[i] = run.result.metrics[metric]
    pick = min if lower_is_better else max
    best = {name: pick(scores, key=scores.__getitem__) for name, scores in values.items()}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["contender", "overrides", "seed", "rounds", "status", metric, "chosen"])
    for i, trial in enumerate(found):
        run = by_digest.get(trial.spec.digest)
        value = values.get(trial.contender, {}).get(i)
        row = [
            trial.contender,
            json.dumps(dict(trial.overrides)),
            trial.spec.seed,
            trial.spec.config.federation.rounds,
        ]
        writer.writerow(
            [
                *row,
                "pending" if run is None else run.status,
                "" if value is None else repr(value),
                int(best.get(trial.contender) == i),
            ]
        )
    return out.getvalue()
