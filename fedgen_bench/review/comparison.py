"""A published record against its rerun, value by value, with a verdict on each that its tier judges."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from fedgen_bench.base.stats import interval
from fedgen_bench.results.bands import Band
from fedgen_bench.results.record import Done, Record
from fedgen_bench.results.tiers import Tier, TierName

Verdict = Literal["equal", "within", "differs", "shown"]
Bands = Mapping[tuple[str, str], Band]
_ALWAYS = frozenset({"data", "bytes"})
_JUDGED: Mapping[TierName, frozenset[str]] = {  # groups in which only equal will do
    "exact": _ALWAYS | {"digests", "sizes", "metrics", "per client", "curve", "quarantined", "final tensors", "clock"},
    "band": _ALWAYS | {"digests", "sizes", "clock"},
    "statistical": _ALWAYS,
}


@dataclass(frozen=True)
class Value:
    """One value of a cell; None where one side lacks it.

    Args:
        group: what it belongs to: metrics, per client, curve, digests, data, bytes, sizes, quarantined, final
            tensors, costs, clock.
        allowed: how far from the published value it may be; None where only equal will do, or where it is shown only.
    """

    group: str
    what: str
    published: Any
    here: Any
    verdict: Verdict
    allowed: float | None = None

    @property
    def difference(self) -> float | None:
        """Here minus published, of numbers."""
        numbers = [one for one in (self.here, self.published) if isinstance(one, int | float)]
        return numbers[0] - numbers[1] if len(numbers) == 2 else None  # noqa: PLR2004 - both sides


@dataclass(frozen=True, kw_only=True)
class ComparedCell:
    """A cell that was run again.

    Args:
        status: of the rerun; anything but `done` is a mismatch, for `reason`.
        quality: the metrics that bands and tests judge.
    """

    contender: str
    seed: int
    digest: str
    tier: Tier
    status: str
    reason: str
    published_environment: Mapping[str, Any]
    environment: Mapping[str, Any]
    quality: tuple[str, ...] = ()
    values: tuple[Value, ...] = ()

    @property
    def name(self) -> str:
        """`contender/seed`."""
        return f"{self.contender}/{self.seed}"

    @property
    def reproduced(self) -> bool:
        """Whether it ended well and nothing that is judged differs."""
        return self.status == "done" and all(one.verdict != "differs" for one in self.values)


@dataclass(frozen=True, kw_only=True)
class SeedTest:
    """A contender's metric in the statistical tier, over the seeds that were run again.

    Args:
        mean: of here minus published.
        low: end of its paired 95 % t interval; None for one seed.
        high: the other end.
        allowed: how far from zero the mean may be where the interval excludes zero; for one seed, how far it may be.
    """

    contender: str
    metric: str
    seeds: tuple[int, ...]
    mean: float
    low: float | None
    high: float | None
    allowed: float
    passed: bool

    @property
    def text(self) -> str:
        """Which test, and its figures."""
        what = f"{self.contender}, {self.metric}: here minus published {self.mean:+.4g}"
        if self.low is None or self.high is None:
            return f"{what}; one seed: at most {self.allowed:.4g}, the band for one more seed"
        seeds = ", ".join(map(str, self.seeds))
        return (
            f"{what} over seeds {seeds}; paired t, 95 % interval {self.low:+.4g} to {self.high:+.4g}: it must include "
            f"zero, or the mean be at most {self.allowed:.4g}"
        )


def quality_of(record: Done) -> tuple[str, ...]:
    """The suite's metric and the followed one on test; a contender without a global model has its clients' mean."""
    names = dict.fromkeys((f"test/{record.config.evaluation.metric}", f"test/{record.followed}"))
    there = tuple(name for name in names if name in record.metrics)
    own = f"personalized/{record.own}/mean"
    return there or ((own,) if own in record.metrics else ())


def compare_records(published: Done, here: Record, tier: Tier, bands: Bands) -> ComparedCell:
    """The cell with every value of both records; quality in the statistical tier awaits `judge_over_seeds`."""
    quality = quality_of(published)
    cell = ComparedCell(
        contender=published.contender,
        seed=published.seed,
        digest=published.digest,
        tier=tier,
        status=here.status,
        reason=here.reason,
        published_environment=published.environment,
        environment=here.environment,
        quality=quality,
    )
    if here.status != "done":
        return cell
    ours, theirs = dict(values_of(here)), dict(values_of(published))
    values = []
    for group, what in [*theirs, *(key for key in ours if key not in theirs)]:
        value = Value(group, what, theirs.get((group, what)), ours.get((group, what)), "shown")
        if (group, what) in theirs:
            band = bands.get((cell.contender, what)) if group == "metrics" and what in quality else None
            value = _judged(value, tier.name, band, is_quality=group == "metrics" and what in quality)
        values.append(value)
    return replace(cell, values=tuple(values))


def _judged(value: Value, tier: TierName, band: Band | None, *, is_quality: bool) -> Value:
    if _same(value.published, value.here):
        return replace(value, verdict="equal")
    if value.group in _JUDGED[tier]:
        return replace(value, verdict="differs")
    if tier == "band" and is_quality:
        allowed = 0.0 if band is None else band.half_width
        return replace(value, verdict="within" if _at_most(value.difference, allowed) else "differs", allowed=allowed)
    return value


def judge_over_seeds(
    cells: Sequence[ComparedCell], bands: Bands
) -> tuple[tuple[ComparedCell, ...], tuple[SeedTest, ...]]:
    """Give quality in the statistical tier its verdict, over a contender's seeds that ended well or by its only one."""
    groups: dict[tuple[str, str], list[tuple[int, Value]]] = {}
    for cell in cells:
        if cell.tier.name == "statistical" and cell.status == "done":
            for value in cell.values:
                if value.group == "metrics" and value.what in cell.quality:
                    groups.setdefault((cell.contender, value.what), []).append((cell.seed, value))
    tests = {key: _tested(key, over_seeds, bands.get(key)) for key, over_seeds in groups.items()}

    def with_verdict(cell: ComparedCell, value: Value) -> Value:
        if cell.tier.name != "statistical" or value.group != "metrics" or value.what not in cell.quality:
            return value
        test = tests[cell.contender, value.what]
        if not test.passed or value.here is None:
            return replace(value, verdict="differs", allowed=test.allowed)
        return value if value.verdict == "equal" else replace(value, verdict="within", allowed=test.allowed)

    judged = tuple(replace(cell, values=tuple(with_verdict(cell, value) for value in cell.values)) for cell in cells)
    return judged, tuple(tests.values())


def _tested(key: tuple[str, str], over_seeds: Sequence[tuple[int, Value]], band: Band | None) -> SeedTest:
    differences = [math.nan if value.difference is None else value.difference for _, value in over_seeds]
    half, one_more = (0.0, 0.0) if band is None else (band.half_width, band.one_more)
    equal = all(value.verdict == "equal" for _, value in over_seeds)
    between = interval(differences)
    alone = between.n == 1
    allowed = one_more if alone else half
    includes_zero = not alone and between.low <= 0 <= between.high
    contender, metric = key
    return SeedTest(
        contender=contender,
        metric=metric,
        seeds=tuple(seed for seed, _ in over_seeds),
        mean=between.mean,
        low=None if alone else between.low,
        high=None if alone else between.high,
        allowed=allowed,
        passed=equal or includes_zero or _at_most(between.mean, allowed),
    )


def _at_most(difference: float | None, allowed: float) -> bool:
    return difference is not None and abs(difference) <= allowed


def _same(published: object, here: object) -> bool:
    """To the bit: JSON keeps every digit, and the sign of zero."""
    return json.dumps(published, sort_keys=True) == json.dumps(here, sort_keys=True)


def values_of(record: Done) -> Iterator[tuple[tuple[str, str], Any]]:
    """Everything that a record says of what came out, by (group, name)."""
    facts = record.facts
    yield from _each("metrics", record.metrics.items())
    for model, values in record.per_client.items():
        yield from _each("per client", ((f"{model}, client {client}", value) for client, value in values.items()))
    yield from _each("curve", ((f"round {point.n_rounds}", point.value) for point in record.curve))
    yield from _each("digests", asdict(record.digests).items())
    yield from _each("data", facts.data.items())
    for way, booked in record.bytes.ways:
        yield from _each("bytes", ((f"{way} {name}", count) for name, count in asdict(booked).items()))
    yield from _each("bytes", ((f"up after round {point.n_rounds}", point.uplink_bytes) for point in record.curve))
    yield ("bytes", "client rounds"), record.client_rounds
    yield ("sizes", "trainable_params"), facts.trainable_params
    yield ("sizes", "backbone_params"), facts.backbone_params
    yield ("quarantined", "quarantined updates"), record.quarantined
    yield ("final tensors", "final sha256"), facts.final_sha256
    if record.costs is not None:
        yield from _each("costs", record.costs.to_json().items())
    if record.clock is not None:
        yield from _each("clock", ((f"seconds of round {i}", value) for i, value in enumerate(record.clock.rounds)))
        yield ("clock", "missed"), record.clock.missed


def _each(group: str, items: Iterable[tuple[str, Any]]) -> Iterator[tuple[tuple[str, str], Any]]:
    return (((group, name), value) for name, value in items)
