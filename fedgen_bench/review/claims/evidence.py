"""What claims are judged by: the published records of a suite and of its ablations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedgen_bench.results.record import Done
    from fedgen_bench.suite.schema import SuiteSpec

BySeed = Mapping[int, float]


@dataclass(frozen=True)
class Scale:
    """A metric's name, unit and direction."""

    name: str
    unit: str
    lower_is_better: bool


@dataclass(frozen=True)
class Published:
    """One published suite: its finished runs under its own seeds, and what its metrics mean.

    Args:
        reference: the contender that the claims are about; of an ablation too, the ablated suite's.
        quality: the metric that ranks, read on test after the last round.
        followed: the metric of curves.
        own: the metric of clients' own data.
        drift: by run digest and figure, the mean over rounds.
        own_value: of an ablation, the value of its axis whose runs are the ablated suite's own; None where none are.
    """

    suite: SuiteSpec
    reference: str
    records: tuple[Done, ...]
    quality: Scale
    followed: Scale
    own: Scale
    drift: Mapping[tuple[str, str], float]
    own_value: float | None = None

    @property
    def full_model(self) -> str:
        """The contender that sends the whole model."""
        return self.suite.suite.full_model

    @property
    def baselines(self) -> tuple[str, ...]:
        """Ranked contenders of another strategy than the reference's, in the suite's order."""
        own = self._contender(self.reference).strategy.name
        names = [
            contender.name for contender in self.suite.contender if contender.ranked and contender.strategy.name != own
        ]
        return tuple(name for name in names if self.runs(name))

    @property
    def axis(self) -> tuple[float, ...]:
        """The sweep's values that there are runs of, ascending."""
        return tuple(sorted({r.config.point.value for r in self.records if r.config.point}))

    def _contender(self, name: str) -> Any:
        return next(contender for contender in self.suite.contender if contender.name == name)

    def runs(self, method: str, value: float | None = None) -> dict[int, Done]:
        """A contender's runs by seed; under a sweep those at one value of the axis, or the unswept ones."""
        return {
            record.seed: record
            for record in self.records
            if record.method == method and (record.config.point.value if record.config.point else None) == value
        }

    def pooled(self, method: str) -> str | None:
        """The reference row that trains the same adapter on all data in one place, if there is one."""
        adapter = self._contender(method).adapter
        for contender in self.suite.contender:
            runs = self.runs(contender.name)
            if contender.adapter == adapter and runs and all(r.facts.cohort_kind == "pooled" for r in runs.values()):
                return contender.name
        return None

    def untrained(self) -> str | None:
        """The reference row that trains nothing, if there is one."""
        for contender in self.suite.contender:
            runs = self.runs(contender.name)
            if runs and all(r.facts.cohort_kind == "none" and r.facts.trainable_params == 0 for r in runs.values()):
                return contender.name
        return None

    def final(self, method: str, value: float | None = None) -> dict[int, float]:
        """Quality on test after the last round, by seed."""
        key = f"test/{self.quality.name}"
        return {seed: r.metrics[key] for seed, r in self.runs(method, value).items() if key in r.metrics}

    def drift_of(self, method: str, value: float | None, figure: str) -> dict[int, float]:
        """A drift figure, mean over rounds, by seed; empty when it was not recorded."""
        runs = self.runs(method, value)
        return {s: self.drift[r.digest, figure] for s, r in runs.items() if (r.digest, figure) in self.drift}


@dataclass(frozen=True)
class Evidence:
    """A suite and, by axis, its ablations."""

    main: Published
    sweeps: Mapping[str, Published]


def mean(values: Sequence[float]) -> float:
    """Of one value or more."""
    return sum(values) / len(values)


def to_target(record: Done, target: float, *, lower: bool) -> tuple[int, int] | None:
    """Rounds and uplink bytes of all clients until the curve is first at the target; None when it never is."""
    hits = (one for one in record.curve if (one.value <= target if lower else one.value >= target))
    return next(((one.n_rounds, one.uplink_bytes) for one in hits), None)
