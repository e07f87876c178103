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
    from fedgen_bench.suite.cells import CellSpec


@dataclass(frozen=True)
class Trial:
    """One point of a contender's grid: its overrides and its cell."""

    contender: str
    overrides: tuple[tuple[str, float], ...]
    spec: CellSpec


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
    made = []
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
            made.append(Trial(name, tuple(point.items()), spec))
    return made


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A trial with what came of it.

    Args:
        status: of its cell; `pending` before that.
        value: the validation metric; None without one.
        chosen: whether it is the best of its contender.
    """

    trial: Trial
    status: str
    value: float | None
    chosen: bool


def scored(
    metric: str, tried: Sequence[Trial], runs: Sequence[StoredRun], *, lower_is_better: bool
) -> tuple[Scored, ...]:
    """Every trial with its value of a metric; of equal ones a contender's first is chosen."""
    by_digest = {run.spec.digest: run for run in runs}
    ended = [by_digest.get(trial.spec.digest) for trial in tried]
    values: dict[str, dict[int, float]] = {}
    for i, (trial, run) in enumerate(zip(tried, ended, strict=True)):
        if run is not None and metric in run.result.metrics:
            values.setdefault(trial.contender, {})[i] = run.result.metrics[metric]
    pick = min if lower_is_better else max
    best = {name: pick(scores, key=scores.__getitem__) for name, scores in values.items()}
    return tuple(
        Scored(
            trial=trial,
            status="pending" if run is None else run.status,
            value=values.get(trial.contender, {}).get(i),
            chosen=best.get(trial.contender) == i,
        )
        for i, (trial, run) in enumerate(zip(tried, ended, strict=True))
    )


def tuning_csv(metric: str, rows: Sequence[Scored]) -> str:
    """The table: a line for every trial; `chosen` marks the best of each contender."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["contender", "overrides", "seed", "rounds", "status", metric, "chosen"])
    for row in rows:
        spec = row.trial.spec
        point = (row.trial.contender, json.dumps(dict(row.trial.overrides)), spec.seed)
        value = "" if row.value is None else repr(row.value)
        writer.writerow([*point, spec.config.federation.rounds, row.status, value, int(row.chosen)])
    return out.getvalue()
