"""The tuning rule: an equal grid for every contender, one seed that is no leaderboard seed.

Training is judged on validation; what clients do after it on a slice of their own training parts, which nobody trains
on. Test and clients' held-out data are not read.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fedgen_bench.base.errors import UsageError, unknown
from fedgen_bench.contract.reports import GLOBAL, PERSONALIZED
from fedgen_bench.suite.cells import expand
from fedgen_bench.suite.load import load_suite
from fedgen_bench.suite.schema import SuiteSpec

if TYPE_CHECKING:
    from fedgen_bench.contract.specs import SuiteSource
    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.results.store import StoredRun
    from fedgen_bench.suite.cells import CellSpec
    from fedgen_bench.suite.personalization import ResolvedWay


Point = Mapping[str, float | str]


@dataclass(frozen=True)
class Trial:
    """One point of a contender's grid.

    Args:
        overrides: what it changes.
        spec: its cell.
        metric: what it is judged by.
    """

    contender: str
    overrides: tuple[tuple[str, float | str], ...]
    spec: CellSpec
    metric: str


def trials(source: SuiteSource, suite: SuiteSpec, registry: Registry, contenders: Sequence[str] = ()) -> list[Trial]:
    """Every trial of the suite's `[tuning]` table, in its order: of training, then of personalisation.

    Ways of personalisation that follow the same training are one cell.

    Raises:
        UsageError: the suite has no grid, or not for a contender.
    """
    if suite.tuning is None:
        raise UsageError(f"Suite `{suite.suite.name}` has no [tuning] table. Add one with `rounds` and `grid`.")
    grids, own_grids = suite.tuning.grid, suite.tuning.personalization
    for name in contenders:
        if name not in grids.keys() | own_grids.keys():
            raise UsageError(unknown("tuned contender", name, [*grids, *own_grids]))
    made = []
    for name, grid in grids.items():
        for point in grid if name in contenders or not contenders else ():
            spec = _cell(source, suite, registry, name, point)
            config = spec.config.model_copy(update={"personalization": None})
            metric = f"valid/{suite.evaluation.metric}"
            made.append(Trial(name, tuple(point.items()), replace(spec, config=config), metric))
    for name, grid in own_grids.items():
        if name in contenders or not contenders:
            made += _own_trials(suite, name, [(point, _cell(source, suite, registry, name, point)) for point in grid])
    return made


def _cell(source: SuiteSource, suite: SuiteSpec, registry: Registry, name: str, point: Point) -> CellSpec:
    """A contender with a point's values, under the tuning seed; measured after its last round."""
    assert suite.tuning is not None, "there are trials"
    rounds = suite.tuning.rounds
    lean = (f"federation.rounds={rounds}", f"evaluation.every={rounds}", "evaluation.personalized_clients=0")
    tuned = load_suite(source, registry, [*lean, *(f"contender.{name}.{path}={one}" for path, one in point.items())])
    (spec,) = expand(tuned, registry, contenders=[name], seeds=[suite.seeds.tuning], purpose="tune")
    return spec


def _own_trials(suite: SuiteSpec, name: str, points: Sequence[tuple[Point, CellSpec]]) -> Iterator[Trial]:
    """Trials of personalisation: those that differ in nothing else share a cell."""
    ways: dict[str, list[ResolvedWay]] = {}
    places = []
    for _, spec in points:
        training = replace(spec, config=spec.config.model_copy(update={"personalization": None}))
        shared = ways.setdefault(training.digest, [])
        places.append((training, len(shared)))
        shared.append(spec.config.own)
    for (point, _), (training, place) in zip(points, places, strict=True):
        config = training.config.model_copy(update={"personalization_trials": tuple(ways[training.digest])})
        metric = f"{PERSONALIZED}/{place}/{suite.evaluation.own}/mean"
        yield Trial(name, tuple(point.items()), replace(training, config=config), metric)


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A trial with what came of it.

    Args:
        status: of its cell; `pending` before that.
        value: what it is judged by; None without one.
        chosen: whether it is the best of its contender's grid.
        before: of personalisation, the global model on the same slices; None without one.
    """

    trial: Trial
    status: str
    value: float | None
    chosen: bool
    before: float | None = None


def scored(tried: Sequence[Trial], runs: Sequence[StoredRun], registry: Registry) -> tuple[Scored, ...]:
    """Every trial with its value; of equal ones the first of a contender's grid is chosen."""
    by_digest = {run.spec.digest: run for run in runs}
    ended = [by_digest.get(trial.spec.digest) for trial in tried]
    values: dict[tuple[str, bool], dict[int, float]] = {}
    for i, (trial, run) in enumerate(zip(tried, ended, strict=True)):
        if run is not None and trial.metric in run.result.metrics:
            values.setdefault(_grid_of(trial), {})[i] = run.result.metrics[trial.metric]
    best = {}
    for grid, scores in values.items():
        metric = tried[min(scores)].spec.config.evaluation
        name = metric.own if grid[1] else metric.metric
        pick = min if registry.get("metric", name).spec.lower_is_better else max
        best[grid] = pick(scores, key=scores.__getitem__)
    return tuple(
        Scored(
            trial=trial,
            status="pending" if run is None else run.status,
            value=values.get(_grid_of(trial), {}).get(i),
            chosen=best.get(_grid_of(trial)) == i,
            before=None if run is None else run.result.metrics.get(_global_metric(trial)),
        )
        for i, (trial, run) in enumerate(zip(tried, ended, strict=True))
    )


def _grid_of(trial: Trial) -> tuple[str, bool]:
    """The contender, and whether it is its grid of ways of personalisation."""
    return trial.contender, bool(trial.spec.config.personalization_trials)


def _global_metric(trial: Trial) -> str:
    return f"{GLOBAL}/{trial.spec.config.evaluation.own}/mean"


def tuning_csv(rows: Sequence[Scored]) -> str:
    """The table: a line for every trial of training; `chosen` marks the best of each contender."""
    trained = [row for row in rows if not _grid_of(row.trial)[1]]
    return _csv([row.trial.metric for row in trained][:1], [(row, [row.value]) for row in trained])


def personalization_csv(rows: Sequence[Scored]) -> str:
    """As `tuning_csv`, of trials of personalisation, with the global model beside them; empty without any."""
    own = [row for row in rows if _grid_of(row.trial)[1]]
    heads = [f"{PERSONALIZED}/{row.trial.spec.config.evaluation.own}/mean" for row in own][:1]
    heads += [_global_metric(row.trial) for row in own][:1]
    return _csv(heads, [(row, [row.value, row.before]) for row in own]) if own else ""


def _csv(heads: Sequence[str], rows: Sequence[tuple[Scored, Sequence[float | None]]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["contender", "overrides", "seed", "rounds", "status", *heads, "chosen"])
    for row, values in rows:
        spec = row.trial.spec
        point = (row.trial.contender, json.dumps(dict(row.trial.overrides)), spec.seed)
        shown = ("" if one is None else repr(one) for one in values)
        writer.writerow([*point, spec.config.federation.rounds, row.status, *shown, int(row.chosen)])
    return out.getvalue()
