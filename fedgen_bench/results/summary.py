"""One contender's cells -> its row: means over seeds, when the target was reached, bytes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fedgen_bench.base.stats import interval, mean_of_all
from fedgen_bench.results.pairing import comparable
from fedgen_bench.results.record import Done, Evaluated, Facts, Record
from fedgen_bench.results.table import Followed, Row

if TYPE_CHECKING:
    from fedgen_bench.suite.schema import SuiteSpec


@dataclass(frozen=True, kw_only=True)
class Group:
    """A contender's runs under the suite, or under the same overrides.

    Args:
        label: how the table names them.
        under: the conditions that they ran under; groups under equal ones are compared.
        records: by seed, one at least.
    """

    label: str
    under: str
    records: tuple[Record, ...]

    @property
    def contender(self) -> str:
        """Whose runs they are."""
        return self.records[0].contender

    @property
    def off_suite(self) -> bool:
        """Whether they ran under overrides."""
        return bool(self.records[0].off_suite)

    @property
    def competes(self) -> bool:
        """Whether the contender is ranked; reference rows are not."""
        return self.records[0].config.contender.ranked

    @property
    def done(self) -> list[Done]:
        """Those that finished."""
        return [record for record in self.records if record.status == "done"]

    def by_seed(self, metric: str) -> dict[int, float]:
        """A metric of every run that has it."""
        return {record.seed: record.metrics[metric] for record in self.records if metric in record.metrics}

    @property
    def means(self) -> dict[str, float]:
        """Every metric that all finished runs have, mean over seeds."""
        done = self.done
        names = sorted({name for record in done for name in record.metrics})
        return {
            name: _mean(record.metrics[name] for record in done)
            for name in names
            if all(name in record.metrics for record in done)
        }

    @property
    def reasons(self) -> str:
        """Why runs did not finish; empty when all did."""
        return "; ".join(f"seed {record.seed}: {record.reason}" for record in self.records if record.reason)


def row_of(group: Group, suite: SuiteSpec, followed: Followed, own: str, full_uplink: float | None) -> Row:
    """The group's row, without a rank.

    Args:
        group: whose row it is.
        suite: whose table it stands in.
        followed: the metric of curves and target.
        own: that of clients' own data.
        full_uplink: what a client sends in a round that it answers, of the full model, under the group's conditions.
    """
    contender, done = group.records[0].config.contender, group.done
    quality = f"test/{suite.evaluation.metric}"
    row = Row(
        contender=group.label,
        strategy=contender.strategy.name,
        adapter=contender.adapter.name,
        status=_status(group, suite),
        n_seeds=len(done),
        quality_metric=quality,
    )
    if not done:
        return row
    row = _with_size(row, done[0].facts)
    row = _with_quality(row, list(group.by_seed(quality).values()))
    row = _with_own_data(row, done, own)
    return _with_bytes(row, done, reached(done, suite.evaluation.target, followed), full_uplink)


def full_uplinks(groups: Iterable[Group], full_model: str) -> dict[str, float]:
    """By conditions, what a client that answers sends in a round of the full model, in bytes."""
    sent: dict[str, list[float]] = {}
    for group in groups:
        for record in comparable(group.records):
            if record.method == full_model and record.answers:
                sent.setdefault(group.under, []).append(_per_client_round(record))
    return {under: _mean(values) for under, values in sent.items()}


def _status(group: Group, suite: SuiteSpec) -> str:
    if bad := sorted({record.status for record in group.records} - {"done"}):
        return bad[0]
    if group.off_suite:
        return "off-suite"
    needed = suite.seeds.of(ranked=group.competes)
    return "done" if {record.seed for record in group.records} >= set(needed) else "incomplete"


def _with_size(row: Row, facts: Facts) -> Row:
    trained = facts.trainable_params
    return replace(row, trainable_params=trained, trainable_fraction=trained / facts.backbone_params)


def _with_quality(row: Row, values: Sequence[float]) -> Row:
    if not values:
        return row
    quality = interval(values)
    std, low, high = (None if math.isnan(one) else one for one in (quality.std, quality.low, quality.high))
    return replace(row, quality_mean=quality.mean, quality_std=std, quality_ci_low=low, quality_ci_high=high)


def _with_own_data(row: Row, done: Sequence[Done], metric: str) -> Row:
    """Figures over clients' own data; those of a row that trains nothing are its global model's."""
    worst = "personalized" if done[0].facts.cohort_kind != "none" else "global"
    return replace(
        row,
        personalized_mean=mean_of_all(record.metrics.get(f"personalized/{metric}/mean") for record in done),
        worst_decile_mean=mean_of_all(record.metrics.get(f"{worst}/{metric}/worst_decile") for record in done),
    )


def reached(done: Iterable[Done], target: float, followed: Followed) -> list[Evaluated | None]:
    """Where each run's curve is first at the target; None where it never is."""

    def at_target(point: Evaluated) -> bool:
        return point.value <= target if followed.lower_is_better else point.value >= target

    return [next(filter(at_target, record.curve), None) for record in done]


def _with_bytes(
    row: Row, done: Sequence[Done], at_target: Sequence[Evaluated | None], full_uplink: float | None
) -> Row:
    """Rounds to the target and, where cohorts are sampled, what was sent."""
    row = replace(row, rounds_to_target_mean=mean_of_all(one and one.n_rounds for one in at_target))
    if done[0].facts.cohort_kind != "sampled":
        return row
    total, per_round = _mean(record.bytes.up.encoded for record in done), _mean(map(_per_client_round, done))
    return replace(
        row,
        uplink_to_target_bytes=mean_of_all(one and one.uplink_bytes for one in at_target),
        uplink_total_bytes=total,
        uplink_per_client_round_bytes=per_round,
        downlink_total_bytes=_mean(record.bytes.down.encoded for record in done),
        uplink_reduction_vs_full=1 - per_round / full_uplink if full_uplink and total else None,
    )


def _per_client_round(record: Done) -> float:
    return record.bytes.up.encoded / record.answers


def _mean(values: Iterable[float]) -> float:
    known = list(values)
    return math.fsum(known) / len(known)
