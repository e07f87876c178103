"""Whether records are cells of their suite: their configurations against those that it gives."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.errors import UsageError
from fedgen_bench.results.record import Record
from fedgen_bench.review.validation.differing import different
from fedgen_bench.review.validation.notices import Notice, label, problem, remark
from fedgen_bench.review.validation.origins import came_from, how_to_get
from fedgen_bench.suite.cells import expand
from fedgen_bench.suite.contenders import EXCHANGED, component_of
from fedgen_bench.suite.overrides import apply_overrides
from fedgen_bench.suite.schema import SuiteSpec
from fedgen_bench.suite.sweeps import variants

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Registry

SUITE = "suite"
_MOST_OVERRIDES = 50


def configurations(records: Sequence[Record], suite: SuiteSpec, registry: Registry) -> Iterator[Notice]:
    """Every record's configuration is what the suite gives for its contender and seed."""
    names = {one.name for one in variants(suite)}
    given = {(one.contender, one.seed): one.config.to_json() for one in expand(suite, registry)}
    under: dict[tuple[str, ...], SuiteSpec | None] = {(): suite}
    for record in records:
        overrides = record.off_suite
        if overrides not in under:
            if len(under) > _MOST_OVERRIDES:
                yield problem(SUITE, f"More than {_MOST_OVERRIDES} kinds of overrides; the others were not compared.")
                return
            under[overrides] = _overridden(suite, overrides)
        meant = under[overrides]
        if meant is None:
            yield problem(SUITE, f"{label(record)}: the suite cannot have these overrides. Name them as `--set` does.")
            continue
        if overrides:
            yield remark(SUITE, f"{label(record)}: a run off the suite; it is shown, never ranked.")
        ranked = {one.name: one.ranked for one in meant.contender}.get(record.method, record.config.contender.ranked)
        seeds = meant.seeds.of(ranked=ranked)
        if record.seed not in seeds:
            said = f"seed {record.seed} is none of the suite's ({', '.join(map(str, seeds))})"
            yield problem(SUITE, f"{label(record)}: {said}. Tables leave it out; remove the record.")
            continue
        key = (record.contender, record.seed)
        choices = [given[key]] if not overrides and key in given else list(_expected(record, meant, registry))
        if not choices and (absent := list(_absent(record, registry))):
            yield from (problem(SUITE, f"{label(record)}: {text}") for text in absent)
            continue
        if not choices:
            yield problem(SUITE, f"{label(record)}: the suite has no such contender. Remove the record.")
            continue
        if record.contender not in names and not overrides:
            yield remark(SUITE, f"{label(record)}: a contender that was added to the suite's.")
        recorded = record.config.to_json()
        expected = min(choices, key=lambda one: len(list(different(recorded, one))))
        of_its_time, aged = _at_recorded_versions(recorded, expected)
        if aged:
            said = f"made with {', '.join(aged)}; results of the installed version may differ"
            yield remark(SUITE, f"{label(record)}: {said}. Run it again to compare it with new ones.")
        for where in list(different(recorded, of_its_time))[:3]:
            yield problem(SUITE, f"{label(record)}: `config`: {where}. Run it under the suite as it is.")
        yield from _cohort(record, registry)


def _at_recorded_versions(recorded: Any, expected: Any) -> tuple[Any, list[str]]:
    """The expected configuration with components at the versions recorded, where older, and which they are."""
    if isinstance(recorded, list) and isinstance(expected, list) and len(recorded) == len(expected):
        pairs = [_at_recorded_versions(ours, theirs) for ours, theirs in zip(recorded, expected, strict=True)]
        return [one for one, _ in pairs], [text for _, aged in pairs for text in aged]
    if not (isinstance(recorded, dict) and isinstance(expected, dict)):
        return expected, []
    result, aged = dict(expected), list[str]()
    for key in recorded.keys() & expected.keys():
        result[key], below = _at_recorded_versions(recorded[key], expected[key])
        aged += below
    ours, theirs = recorded.get("version"), expected.get("version")
    if "params" in expected and _older(ours, theirs):
        result["version"] = ours
        aged.append(f"version {ours} of `{expected['name']}`")
    return result, sorted(aged)


def _older(ours: Any, theirs: Any) -> bool:
    """Whether both are whole numbers as text, and the first is smaller."""
    texts = [one for one in (ours, theirs) if isinstance(one, str) and one.isdecimal() and len(one) <= 9]  # noqa: PLR2004
    return len(texts) == 2 and int(ours) < int(theirs)  # noqa: PLR2004 - a pair


def _cohort(record: Record, registry: Registry) -> Iterator[Notice]:
    """A strategy decides itself whether its messages are booked."""
    strategy = registry.components["strategy"].get(record.config.contender.strategy.name)
    if strategy is not None and record.status == "done" and record.facts.cohort_kind != strategy.spec.cohort:
        said = f"`facts.cohort_kind` is {record.facts.cohort_kind!r}, strategy `{strategy.spec.name}` is"
        yield problem(SUITE, f"{label(record)}: {said} {strategy.spec.cohort!r}. One of them was changed.")


def _overridden(suite: SuiteSpec, overrides: tuple[str, ...]) -> SuiteSpec | None:
    try:
        table = apply_overrides(suite.model_dump(mode="json", exclude_none=True), overrides)
        return SuiteSpec.model_validate_json(json.dumps(table, default=str))
    except (UsageError, ValueError):
        return None


def _expected(record: Record, suite: SuiteSpec, registry: Registry) -> Iterator[Any]:
    """Configurations that this contender could have: as the suite lists it, or as it was added to it."""
    name, seed = record.contender, (record.seed,)
    if name in {one.name for one in variants(suite)}:
        own = expand(suite, registry, contenders=(name,))
        yield from (one.config.to_json() for one in own if one.seed == record.seed)
        return
    for kind in EXCHANGED:
        if component_of(name) in registry.components[kind]:
            try:
                cells = expand(suite, registry, added=(f"{kind}/{name}",), contenders=(name,), seeds=seed)
            except UsageError:
                continue
            yield from (one.config.to_json() for one in cells)


def _absent(record: Record, registry: Registry) -> Iterator[str]:
    """Components of a record that are not installed here, with how they are had."""
    for key, came in sorted(record.provenance.items()):
        kind = key.split(" ")[0]
        if kind in registry.components and came.name not in registry.components[kind]:
            said = f"its {kind} `{came.name}` is not installed here.{came_from([came])}"
            yield f"{said} Its configuration was not compared; {how_to_get([came])} to compare it."
