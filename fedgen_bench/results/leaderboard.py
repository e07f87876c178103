"""Records -> Table. A table is made from published records alone, so that anybody can make it again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.stats import Interval, paired_difference
from fedgen_bench.results.columns import Cells
from fedgen_bench.results.environments import elsewhere
from fedgen_bench.results.extras import extras_in, extras_of
from fedgen_bench.results.pairing import check_pairing, enters, told_apart
from fedgen_bench.results.ranking import Candidate, ranks
from fedgen_bench.results.summary import Group, full_uplinks, reached, row_of
from fedgen_bench.results.table import Curve, Followed, Row, Table
from fedgen_bench.suite.strict import plain
from fedgen_bench.suite.sweeps import variants

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.results.record import Record
    from fedgen_bench.suite.schema import SuiteSpec

_SECTIONS = (
    *("task", "partitioner", "federation", "training", "evaluation"),
    *("personalization", "devices", "attack", "sweep"),
)


def build_table(suite: SuiteSpec, records: Sequence[Record], registry: Registry) -> Table:
    """Rank every contender that has all of the suite's seeds; the others are shown with their status.

    Ranks are those of `ranking.ranks`. Runs under other seeds than the suite's for their row are left out.

    Raises:
        PairingError: see `check_pairing`.
    """
    records = [record for record in records if enters(record, suite)]
    check_pairing(records)
    spec = registry.get("metric", suite.evaluation.metric).spec
    followed, own_data = (_scale(name, registry) for name in (suite.evaluation.followed, suite.evaluation.own))
    groups = _groups(suite, records)
    own = [group for group in groups if not group.off_suite]
    full = full_uplinks(groups, suite.suite.full_model)
    rows = [row_of(group, suite, followed, own_data.metric, full.get(group.under)) for group in groups]
    extras = {row.contender: _extras(group, suite, followed) for group, row in zip(groups, rows, strict=True)}
    there = extras_in(extras.values())
    candidates = _candidates(groups, rows)
    ranked, among = ranks(candidates, suite, lower_is_better=spec.lower_is_better)
    unranked = [row for row in rows if all(row is not one.row for one in candidates)]
    return Table(
        suite=suite.suite.name,
        version=suite.suite.version,
        title=suite.suite.title,
        metric=spec.name,
        metric_unit=spec.unit,
        lower_is_better=spec.lower_is_better,
        reference=suite.suite.reference,
        full_model=suite.suite.full_model,
        target=suite.evaluation.target,
        seeds=suite.seeds.leaderboard,
        reference_seeds=suite.seeds.references,
        rows=tuple(
            row.columns | {one.key: extras[row.contender].get(one.key) for one in there} for row in (*ranked, *unranked)
        ),
        extras=there,
        others={group.label: group.means for group in groups},
        paired=_paired(own, suite),
        curves=tuple(_curve(group) for group in own),
        reasons={group.label: group.reasons for group in groups if group.reasons},
        data=_data(records),
        setup=_setup(suite, records),
        notes=suite.suite.notes,
        followed=followed,
        own=own_data,
        showcase={group.contender: one.showcase for group in own for one in group.done if one.showcase},
        samples={group.contender: one.sample for group in own for one in group.done if one.sample},
        among=among,
        elsewhere=elsewhere([record for group in own for record in group.records], suite.suite.reference),
    )


def _extras(group: Group, suite: SuiteSpec, followed: Followed) -> dict[str, float]:
    done = group.done
    return (
        extras_of(Cells(suite=suite, done=done, at_target=reached(done, suite.evaluation.target, followed)))
        if done
        else {}
    )


def _scale(name: str, registry: Registry) -> Followed:
    spec = registry.get("metric", name).spec
    return Followed(spec.name, spec.unit, spec.lower_is_better)


def _groups(suite: SuiteSpec, records: Sequence[Record]) -> list[Group]:
    """Records by contender and overrides, in the suite's order, contenders that it does not list behind."""
    order = {one.name: place for place, one in enumerate(variants(suite))}
    conditions = told_apart(records)

    def place(record: Record) -> tuple[int, str, tuple[str, ...], int]:
        return order.get(record.contender, len(order)), record.contender, record.off_suite, record.seed

    together: dict[tuple[str, tuple[str, ...]], list[Record]] = {}
    for record in sorted(records, key=place):
        together.setdefault((record.contender, record.off_suite), []).append(record)
    return [
        Group(
            label=f"{name} ({', '.join(off_suite)})" if off_suite else name,
            under=conditions(same[0]),
            records=tuple(same),
        )
        for (name, off_suite), same in together.items()
    ]


def _candidates(groups: Sequence[Group], rows: Sequence[Row]) -> list[Candidate]:
    """Those that compete and have all of the suite's seeds."""
    return [
        Candidate(row=row, mean=row.quality_mean, by_seed=group.by_seed(row.quality_metric), under=group.under)
        for group, row in zip(groups, rows, strict=True)
        if group.competes and row.status == "done" and row.quality_mean is not None
    ]


def _paired(own: Sequence[Group], suite: SuiteSpec) -> dict[str, Interval]:
    """By contender, its quality minus that of the reference under equal conditions, seed by seed."""
    quality = f"test/{suite.evaluation.metric}"
    references: dict[str, Group] = {}
    for group in own:
        if group.records[0].method == suite.suite.reference:
            references.setdefault(group.under, group)
    return {
        group.contender: difference
        for group in own
        if (reference := references.get(group.under, group)) is not group
        and (difference := paired_difference(reference.by_seed(quality), group.by_seed(quality)))
    }


def _curve(group: Group) -> Curve:
    by_seed = {record.seed: tuple(record.curve) for record in group.records if record.curve}
    return Curve(group.contender, group.competes, by_seed)


def _data(records: Iterable[Record]) -> dict[str, str]:
    done = [record for record in records if record.status == "done"]
    return dict(sorted({name: sha256 for record in done for name, sha256 in record.facts.data.items()}.items()))


def _setup(suite: SuiteSpec, records: Sequence[Record]) -> dict[str, Any]:
    """The suite's tables, and every contender's choices."""
    setup = {name: plain(table) for name in _SECTIONS if (table := getattr(suite, name)) is not None}
    if "devices" in setup:
        setup["devices"] = {key: one for key, one in setup["devices"].items() if one}
    setup["contender"] = {one.name: plain(one) for one in suite.contender} | _added(suite, records)
    return setup


def _added(suite: SuiteSpec, records: Sequence[Record]) -> dict[str, Any]:
    """Contenders that the suite does not list, as their runs record them."""
    listed = {one.name for one in suite.contender}
    return {
        record.method: plain(record.config.contender)
        for record in reversed(records)
        if record.method not in listed and not record.off_suite
    }
