"""A leaderboard as its formats get it: rows by COLUMNS, and what a reader needs beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from fedgen_bench.base.digits import Unit
from fedgen_bench.base.stats import Interval
from fedgen_bench.results.record import Evaluated


@dataclass(frozen=True, kw_only=True)
class Row:
    """A contender of the table; None where there is nothing to say.

    Args:
        n_seeds: seeds whose runs are done.
        quality_metric: what ranks, as `test/<metric>`.
        uplink_to_target_bytes: of all clients until the target was reached, mean over seeds, as all bytes here.
    """

    rank: int | None = None
    contender: str
    strategy: str
    adapter: str
    status: str
    n_seeds: int
    trainable_params: int | None = None
    trainable_fraction: float | None = None
    quality_metric: str
    quality_mean: float | None = None
    quality_std: float | None = None
    quality_ci_low: float | None = None
    quality_ci_high: float | None = None
    personalized_mean: float | None = None
    worst_decile_mean: float | None = None
    rounds_to_target_mean: float | None = None
    uplink_to_target_bytes: float | None = None
    uplink_total_bytes: float | None = None
    uplink_per_client_round_bytes: float | None = None
    downlink_total_bytes: float | None = None
    uplink_reduction_vs_full: float | None = None

    @property
    def columns(self) -> dict[str, Any]:
        """Values by COLUMNS."""
        return asdict(self)


COLUMNS = tuple(column.name for column in fields(Row))


@dataclass(frozen=True, kw_only=True)
class Extra:
    """A column beside COLUMNS, in tables where a row has a value of it.

    Args:
        group: heading of the columns that belong together.
        key: what `table.csv` calls it.
        label: what people read at its head.
        told: what the figure is, in a sentence, and whether it was measured, counted or estimated.
        unit: how it is written for people.
        lower_is_better: None where neither is.
    """

    group: str
    key: str
    label: str
    told: str
    unit: Unit = "number"
    lower_is_better: bool | None = None


@dataclass(frozen=True)
class Followed:
    """The metric of curves and target, or that of clients' own data: the one that ranks unless the suite names one."""

    metric: str
    unit: str
    lower_is_better: bool


@dataclass(frozen=True)
class Curve:
    """One contender's evaluation over rounds, by seed: (round + 1, followed metric, uplink bytes so far).

    A model that no round trains has the one value of round 0.
    """

    contender: str
    ranked: bool
    by_seed: Mapping[int, tuple[Evaluated, ...]]

    @property
    def level(self) -> float | None:
        """The value of a model that no round trains, mean over seeds; None where rounds were followed."""
        points = [point for points in self.by_seed.values() for point in points]
        if not points or any(point.n_rounds for point in points):
            return None
        return sum(point.value for point in points) / len(points)


@dataclass(frozen=True, kw_only=True)
class Table:
    """A leaderboard: rows by COLUMNS (None where there is nothing to say), and what a reader needs beside them.

    Args:
        metric: the one that ranks, read on the test part.
        seeds: of ranked rows.
        others: by contender, every metric that all of its finished runs have, mean over seeds.
        paired: by contender, its difference to the reference over the seeds that both have.
        reasons: by contender, why runs of it did not finish.
        data: sha256 by name of what the task read.
        among: by ranked contender, the points of a sweep that its rank holds within; empty where there is one ranking.
        showcase: by contender, base64 of a PNG of what its global model generates; empty for tasks without pictures.
        samples: by contender, text that its global model generates; empty for tasks without.
        reference_seeds: of the other rows; empty where these have the same.
        own: the metric of clients' own data.
        elsewhere: by contender, in words, an environment that is not the reference's; empty where all ran in one.
        extras: columns beside COLUMNS that rows of this table have.
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
    own: Followed
    showcase: Mapping[str, str]
    samples: Mapping[str, str]
    among: Mapping[str, str]
    reference_seeds: tuple[int, ...] = ()
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    extras: tuple[Extra, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column of the rows, in order."""
        return (*COLUMNS, *(one.key for one in self.extras))

    @property
    def follows_another(self) -> bool:
        """Whether another metric than the one that ranks is followed over rounds."""
        return self.followed.metric != self.metric

    @property
    def reports_another(self) -> bool:
        """Whether clients' own data are reported by another metric than the one that ranks."""
        return self.own.metric != self.metric
