"""Stored cells -> published records: all that tables need, nothing that depends on the clock."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fedgen_bench.results.clock import clock_table
from fedgen_bench.results.record import ONLY_WHERE_ANY, SHOWN, Booked, Record, from_json

if TYPE_CHECKING:
    from fedgen_bench.results.store import StoredRun
    from fedgen_bench.suite.schema import SuiteSpec


_FOLLOWED = "valid_subset/"


def records_of(runs: Sequence[StoredRun], suite: SuiteSpec) -> list[Record]:
    """The record of every run that has ended; what models generate is published of the first leaderboard seed alone."""

    def shown(run: StoredRun) -> bool:
        return run.spec.seed == suite.seeds.leaderboard[0] and not run.spec.off_suite

    return [record_of(run, with_showcase=shown(run)) for run in runs]


def record_of(run: StoredRun, *, with_showcase: bool = False) -> Record:
    """The record of a run that has ended, as reading it from `results.json` gives it."""
    result = run.result
    entries = [entry for report in run.rounds for entry in report.ledger]
    told = {name: getattr(result, name) for name in ONLY_WHERE_ANY} | {"costs": _costs(run), "clock": _clock(run)}
    table = {
        "contender": run.spec.contender,
        "seed": run.spec.seed,
        "config": run.spec.config.to_json(),
        "digest": run.spec.digest,
        "off_suite": run.spec.off_suite,
        "status": run.status,
        "reason": run.reason,
        "metrics": final_metrics(result.metrics),
        "per_client": {name: dict(values) for name, values in result.per_client.items()},
        "digests": dict(result.digests),
        "facts": dict(result.facts),
        "curve": _curve(run),
        "bytes": {
            way: asdict(Booked.of([entry for entry in entries if entry.direction == way])) for way in ("up", "down")
        },
        "client_rounds": sum(len(report.cohort) for report in run.rounds),
        "quarantined": [
            (report.round_index, entry.client_id, entry.code) for report in run.rounds for entry in report.quarantined
        ],
        "provenance": dict(run.provenance),
        "environment": dict(run.environment),
        **{name: found for name, found in told.items() if found and (with_showcase or name not in SHOWN)},
    }
    return from_json(json.loads(json.dumps(table)))


def final_metrics(measured: Mapping[str, float]) -> dict[str, float]:
    """Those of a run's metrics that a record has as such: what belongs to the curve stands there."""
    return {name: value for name, value in measured.items() if not name.startswith(_FOLLOWED)}


def _costs(run: StoredRun) -> dict[str, Any]:
    """With local steps of all rounds, and until each point of the curve; empty where a round did not count them."""
    if not run.result.costs or not all(report.n_steps for report in run.rounds):
        return {}
    evaluated = [n_rounds for n_rounds, *_ in _curve(run)]
    taken = list(itertools.accumulate(report.n_steps for report in run.rounds))
    steps = {"n_steps": taken[-1], "steps_so_far": [taken[n_rounds - 1] for n_rounds in evaluated]}
    drawn = [None if report.clock is None else report.clock.joules for report in run.rounds]
    known = [joules for joules in drawn if joules is not None]
    if len(known) < len(drawn):
        return {**run.result.costs, **steps}
    so_far = list(itertools.accumulate(known))
    energy = {"joules": so_far[-1], "joules_so_far": [so_far[n_rounds - 1] for n_rounds in evaluated]}
    return {**run.result.costs, **steps, **energy}


def _clock(run: StoredRun) -> dict[str, Any]:
    """The simulated times of a finished run's rounds; empty where no clock ran."""
    return clock_table(run.rounds, run.result.clock["slow"]) if run.result.clock else {}


def _curve(run: StoredRun) -> list[tuple[int, float, int]]:
    """After every evaluated round; of a model that no round trains the one value that it has, as of round 0."""
    followed, uplink = run.spec.config.evaluation.followed, 0
    untrained = run.result.metrics.get(f"{_FOLLOWED}{followed}")
    evaluated = [] if untrained is None else [(0, untrained, 0)]
    for report in run.rounds:
        uplink += sum(one.encoded_bytes for one in report.ledger if one.direction == "up")
        if followed in report.metrics:
            evaluated.append((report.round_index + 1, report.metrics[followed], uplink))
    return evaluated
