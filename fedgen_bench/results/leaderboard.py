"""Results -> Table. A table is made from published records alone, so that anybody can make it again."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.errors import PairingError
from fedgen_bench.base.stats import Interval, interval, paired_difference
from fedgen_bench.contract.seeds import digest
from fedgen_bench.results.ranking import ranks
from fedgen_bench.suite.schema import plain
from fedgen_bench.suite.sweeps import method_of, variants

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.results.store import StoredRun
    from fedgen_bench.suite.schema import SuiteSpec

COLUMNS = (
    "rank", "contender", "strategy", "adapter", "status", "n_seeds", "trainable_params", "trainable_fraction",
    "quality_metric", "quality_mean",
    "quality_std", "quality_ci_low", "quality_ci_high", "personalized_mean", "worst_decile_mean",
    "rounds_to_target_mean", "uplink_to_target_bytes",
    "uplink_total_bytes", "uplink_per_client_round_bytes", "downlink_total_bytes", "uplink_reduction_vs_full",
)  # fmt: skip
_PAIRED = ("partition", "cohort", "batches")
_OWN = ("contender", "point", "seed")
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Followed:
    """The metric of curves, target, clients' own data: the one that ranks unless the suite has a `round_metric`."""

    metric: str
    unit: str
    lower_is_better: bool


@dataclass(frozen=True)
class Curve:
    """One contender's evaluation over rounds, by seed: (round + 1, followed metric, uplink bytes so far)."""

    contender: str
    ranked: bool
    by_seed: Mapping[int, tuple[tuple[int, float, int], ...]]


@dataclass(frozen=True)
class Table:
    """A leaderboard: rows by COLUMNS (None where there is nothing to say), and what a reader needs beside them.

    Args:
        metric: the one that ranks, read on the test part.
        among: by ranked contender, the points of a sweep that its rank holds within; empty where there is one ranking.
        showcase: by contender, base64 of a PNG of what its global model generates; empty for tasks without pictures.
    """

    suite: str
    version: int
    title: str
    metric: str
    metric_unit: str
    lower_is_better: bool
    reference: str
    full_model: str
    target: float
    seeds: tuple[int, ...]
    rows: tuple[Mapping[str, Any], ...]
    others: Mapping[str, Mapping[str, float]]
    paired: Mapping[str, Interval]
    curves: tuple[Curve, ...]
    reasons: Mapping[str, str]
    data: Mapping[str, str]
    setup: Mapping[str, Any]
    notes: str
    followed: Followed
    showcase: Mapping[str, str]
    among: Mapping[str, str]

    @property
    def follows_another(self) -> bool:
        """Whether another metric than the one that ranks is followed over rounds."""
        return self.followed.metric != self.metric


def record_of(run: StoredRun, *, with_showcase: bool = False) -> dict[str, Any]:
    """The published record of a run: everything the table needs, nothing that depends on the clock."""
    result = run.result
    evaluated: list[list[float]] = []
    uplink = 0
    followed = run.spec.config.evaluation.followed
    for report in run.rounds:
        uplink += sum(one.encoded_bytes for one in report.ledger if one.direction == "up")
        if followed in report.metrics:
            evaluated.append([report.round_index + 1, report.metrics[followed], uplink])
    entries = [one for report in run.rounds for one in report.ledger]
    return {
        "contender": run.spec.contender,
        "seed": run.spec.seed,
        "config": run.spec.config.to_json(),
        "digest": run.spec.digest,
        "off_suite": list(run.spec.off_suite),
        "status": run.status,
        "reason": run.reason,
        "metrics": dict(result.metrics),
        "per_client": {name: dict(values) for name, values in result.per_client.items()},
        "digests": dict(result.digests),
        "facts": dict(result.facts),
        "curve": evaluated,
        "bytes": {
            direction: {
                "encoded": sum(one.encoded_bytes for one in entries if one.direction == direction),
                "tensors": sum(one.tensor_bytes for one in entries if one.direction == direction),
                "headers": sum(one.header_bytes for one in entries if one.direction == direction),
                "messages": sum(one.direction == direction for one in entries),
            }
            for direction in ("up", "down")
        },
        "client_rounds": sum(len(report.cohort) for report in run.rounds),
        "quarantined": [
            [report.round_index, one.client_id, one.code] for report in run.rounds for one in report.quarantined
        ],
        "provenance": run.provenance,
        "environment": run.environment,
        **({"showcase": result.showcase} if with_showcase and result.showcase else {}),
    }


def conditions_of(record: Record) -> str:
    """What a run was made under, without its contender and seed: only runs under equal conditions are compared."""
    return json.dumps({k: v for k, v in record["config"].items() if k not in _OWN}, sort_keys=True)


def _told_apart(records: Sequence[Record]) -> Callable[[Record], str]:
    """Conditions of one suite's records: one for all unless it sweeps, so that what differs is refused."""
    return conditions_of if any("point" in record["config"] for record in records) else lambda _: ""


def check_pairing(records: Iterable[Record]) -> None:
    """Refuse to compare runs that did not see the same.

    Data and backbone are one for the whole table; split, cohorts and batches for conditions and a seed; initial tensors
    for a seed and an adapter.

    Raises:
        PairingError: names both runs and what differs.
    """
    first: dict[tuple[Any, ...], tuple[Record, str]] = {}
    records = list(records)
    conditions = _told_apart(records)
    for record in records:
        if record["status"] != "done" or record["off_suite"]:
            continue
        seed, digests, adapter = record["seed"], record["digests"], record["config"]["contender"]["adapter"]
        data = json.dumps(record["facts"]["data"], sort_keys=True)
        seen = {("data",): digest(data), ("initial", seed, json.dumps(adapter, sort_keys=True)): digests["initial"]}
        if record["facts"]["cohort_kind"] == "sampled":
            seen |= {(what, seed, conditions(record)): digests[what] for what in _PAIRED}
        for key, value in seen.items():
            other, expected = first.setdefault(key, (record, value))
            if value != expected:
                raise PairingError(
                    f"{record['contender']}/{seed} and {other['contender']}/{other['seed']} differ in their {key[0]} "
                    f"digest ({value[:12]} and {expected[:12]}): they did not see the same {key[0]}. Run both again "
                    "under one version of the suite, in an empty folder (`--runs`)."
                )


def _target(record: Record, target: float, *, lower: bool) -> tuple[int, int] | None:
    return next(
        ((int(r), int(up)) for r, value, up in record["curve"] if (value <= target if lower else value >= target)), None
    )


def _mean_or_none(values: Sequence[float | None]) -> float | None:
    return (
        None
        if not values or any(value is None for value in values)
        else math.fsum(v for v in values if v is not None) / len(values)
    )


def build_table(suite: SuiteSpec, records: Sequence[Record], registry: Registry) -> Table:
    """Rank every contender that has all of the suite's seeds; the others are shown with their status.

    Ranks are those of `ranking.ranks`. Runs under other seeds than the suite's are left out.

    Raises:
        PairingError: see `check_pairing`.
    """
    records = [record for record in records if record["seed"] in suite.seeds.leaderboard]
    check_pairing(records)
    metric = suite.evaluation.metric
    spec = registry.get("metric", metric).spec
    quality, lower = f"test/{metric}", spec.lower_is_better
    follow = registry.get("metric", suite.evaluation.followed).spec
    followed = Followed(follow.name, follow.unit, follow.lower_is_better)
    order = {one.name: i for i, one in enumerate(variants(suite))}
    groups: dict[tuple[str, tuple[str, ...]], list[Record]] = {}
    for record in sorted(
        records, key=lambda r: (order.get(r["contender"], len(order)), r["contender"], r["off_suite"], r["seed"])
    ):
        groups.setdefault((record["contender"], tuple(record["off_suite"])), []).append(record)
    conditions = _told_apart(records)
    full_up = _full_uplink(records, suite, conditions)
    rows = []
    others: dict[str, dict[str, float]] = {}
    reasons: dict[str, str] = {}
    by_seed: dict[str, dict[int, float]] = {}
    under: dict[str, str] = {}
    references: dict[str, str] = {}
    for (name, off_suite), group in groups.items():
        label = name if not off_suite else f"{name} ({', '.join(off_suite)})"
        row = _row(label, group, suite, quality, full_up.get(conditions(group[0])), followed)
        rows.append(row)
        if not off_suite:
            by_seed[name] = {r["seed"]: r["metrics"][quality] for r in group if quality in r["metrics"]}
            under[name] = conditions(group[0])
            if method_of(group[0]) == suite.suite.reference:
                references.setdefault(under[name], name)
        done = [r for r in group if r["status"] == "done"]
        names = sorted({key for r in done for key in r["metrics"]})
        others[label] = {
            key: math.fsum(r["metrics"][key] for r in done) / len(done)
            for key in names
            if all(key in r["metrics"] for r in done)
        }
        if why := [f"seed {r['seed']}: {r['reason']}" for r in group if r["reason"]]:
            reasons[label] = "; ".join(why)
    ranked, among = ranks(rows, by_seed, under, suite, lower=lower)
    unranked = [row for row in rows if row["rank"] is None]
    paired = {
        name: diff
        for name, values in by_seed.items()
        if (reference := references.get(under[name], name)) != name
        and (diff := paired_difference(by_seed[reference], values))
    }
    curves = tuple(
        Curve(
            name,
            bool(group[0]["config"]["contender"]["ranked"]),
            {r["seed"]: tuple((int(a), float(b), int(c)) for a, b, c in r["curve"]) for r in group if r["curve"]},
        )
        for (name, off_suite), group in groups.items()
        if not off_suite
    )
    data = {key: value for record in records for key, value in record["facts"].get("data", {}).items()}
    setup = {
        name: plain(getattr(suite, name)) for name in ("task", "partitioner", "federation", "training", "evaluation")
    }
    if suite.attack is not None:
        setup["attack"] = plain(suite.attack)
    if suite.sweep is not None:
        setup["sweep"] = plain(suite.sweep)
    setup["contender"] = {one.name: plain(one) for one in suite.contender} | _added(records, suite)
    showcase = {r["contender"]: r["showcase"] for r in records if "showcase" in r and not r["off_suite"]}
    return Table(
        suite.suite.name, suite.suite.version, suite.suite.title, metric, spec.unit, lower, suite.suite.reference,
        suite.suite.full_model,
        suite.evaluation.target, suite.seeds.leaderboard, (*ranked, *unranked), others, paired, curves,
        reasons, dict(sorted(data.items())),
        setup, suite.suite.notes, followed, {name: showcase[name] for name, _ in groups if name in showcase}, among,
    )  # fmt: skip


def _added(records: Sequence[Record], suite: SuiteSpec) -> dict[str, Any]:
    """Contenders that the suite does not list, as their runs record them."""
    listed = {one.name for one in suite.contender}
    return {
        name: record["config"]["contender"]
        for record in reversed(records)
        if (name := method_of(record)) not in listed and not record["off_suite"]
    }


def _full_uplink(records: Sequence[Record], suite: SuiteSpec, conditions: Callable[[Record], str]) -> dict[str, float]:
    """By conditions, what the full model sends per client and round, in bytes."""
    found: dict[str, list[float]] = {}
    for record in records:
        if method_of(record) != suite.suite.full_model or not record["client_rounds"]:
            continue
        if record["status"] == "done" and not record["off_suite"]:
            sent = record["bytes"]["up"]["encoded"] / record["client_rounds"]
            found.setdefault(conditions(record), []).append(sent)
    return {where: math.fsum(values) / len(values) for where, values in found.items()}


def _row(
    label: str, group: Sequence[Record], suite: SuiteSpec, quality: str, full_up: float | None, followed: Followed
) -> dict[str, Any]:
    done = [r for r in group if r["status"] == "done"]
    contender = group[0]["config"]["contender"]
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row |= {
        "contender": label,
        "strategy": contender["strategy"]["name"],
        "adapter": contender["adapter"]["name"],
        "n_seeds": len(done),
        "quality_metric": quality,
    }
    row["status"] = _status(group, suite)
    if not done:
        return row
    facts = done[0]["facts"]
    row["trainable_params"] = facts["trainable_params"]
    row["trainable_fraction"] = facts["trainable_params"] / facts["backbone_params"]
    if values := [r["metrics"][quality] for r in done if quality in r["metrics"]]:
        found = interval(values)
        row |= {
            "quality_mean": found.mean,
            "quality_std": found.std,
            "quality_ci_low": found.low,
            "quality_ci_high": found.high,
        }
        row |= {key: None for key in ("quality_std", "quality_ci_low", "quality_ci_high") if math.isnan(row[key])}
    metric = followed.metric
    row["personalized_mean"] = _mean_or_none([r["metrics"].get(f"personalized/{metric}/mean") for r in done])
    worst = "personalized" if facts["cohort_kind"] != "none" else "global"
    row["worst_decile_mean"] = _mean_or_none([r["metrics"].get(f"{worst}/{metric}/worst_decile") for r in done])
    reached = [_target(r, suite.evaluation.target, lower=followed.lower_is_better) for r in done]
    row["rounds_to_target_mean"] = _mean_or_none([None if one is None else one[0] for one in reached])
    if facts["cohort_kind"] == "sampled":
        row["uplink_to_target_bytes"] = _mean_or_none([None if one is None else one[1] for one in reached])
        row["uplink_total_bytes"] = _mean_or_none([r["bytes"]["up"]["encoded"] for r in done])
        row["downlink_total_bytes"] = _mean_or_none([r["bytes"]["down"]["encoded"] for r in done])
        row["uplink_per_client_round_bytes"] = _mean_or_none(
            [r["bytes"]["up"]["encoded"] / r["client_rounds"] for r in done]
        )
        if full_up and row["uplink_total_bytes"]:
            row["uplink_reduction_vs_full"] = 1 - row["uplink_per_client_round_bytes"] / full_up
    if contender["ranked"] and row["status"] == "done" and row["quality_mean"] is not None:
        row["rank"] = 0
    return row


def _status(group: Sequence[Record], suite: SuiteSpec) -> str:
    bad = sorted({r["status"] for r in group} - {"done"})
    if bad:
        return str(bad[0])
    if group[0]["off_suite"]:
        return "off-suite"
    return "done" if {r["seed"] for r in group} >= set(suite.seeds.leaderboard) else "incomplete"


def results_text(suite: SuiteSpec, suite_text: str, records: Sequence[Record]) -> str:
    """The published results: what `build_table` needs, as stable JSON."""
    ordered = sorted(records, key=lambda r: (r["contender"], r["off_suite"], r["seed"]))
    body = {
        "schema": 1,
        "suite": suite.suite.name,
        "version": suite.suite.version,
        "suite_text": suite_text,
        "records": ordered,
    }
    return json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
