"""The suite of a results file, and whether its records are cells of that suite."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.errors import SuiteError, UsageError
from fedgen_bench.contract.specs import SuiteSource
from fedgen_bench.results.files import RESULTS
from fedgen_bench.results.record import Origin, Record
from fedgen_bench.review.validation.notices import Notice, label, problem, remark
from fedgen_bench.suite.cellconfig import provenance_key
from fedgen_bench.suite.cells import CellSpec, expand
from fedgen_bench.suite.contenders import EXCHANGED
from fedgen_bench.suite.load import load_suite
from fedgen_bench.suite.overrides import apply_overrides
from fedgen_bench.suite.schema import SuiteSpec
from fedgen_bench.suite.sweeps import variants

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.results.published import ResultsFile

SUITE, COMPLETE = "suite", "completeness"
_FILE = "file:"  # how provenance names a plugin file
_MOST_TEXT, _MOST_CELLS, _MOST_OVERRIDES = 128 << 10, 10_000, 50
_UNKNOWN = re.compile(
    r"Unknown (task|partitioner|strategy|adapter|compressor|attack|metric) `([^`]*)`"  # as `errors.unknown` says it
)


def suite_of(results: ResultsFile, registry: Registry) -> tuple[SuiteSpec | None, list[Notice]]:
    """The suite, or None with why it cannot be had here."""
    if len(results.suite_text) > _MOST_TEXT:
        return None, [problem(SUITE, f"The suite's text has {len(results.suite_text):,} characters; a suite is short.")]
    try:
        suite = load_suite(SuiteSource(name=results.suite, text=results.suite_text, path="suite_text"), registry)
    except SuiteError as error:
        return None, list(_why_not(error, results))
    n_swept = len(suite.sweep.point) if suite.sweep else 1
    if len(suite.contender) * n_swept * len(suite.seeds.leaderboard) > _MOST_CELLS:
        return None, [problem(SUITE, f"The suite asks for more than {_MOST_CELLS:,} runs. Submit a smaller one.")]
    notices = []
    stated = {"suite": (results.suite, suite.suite.name), "version": (results.version, suite.suite.version)}
    for what, (said, meant) in stated.items():
        if said != meant:
            notices.append(problem(SUITE, f"{RESULTS}: `{what}` is {said!r}, the suite's text has {meant!r}."))
    return suite, [*notices, *_against_ours(suite, results, registry)]


def _why_not(error: SuiteError, results: ResultsFile) -> Iterator[Notice]:
    for text in error.problems:
        unknown = _UNKNOWN.search(text)
        if unknown is None:
            yield problem(SUITE, f"{RESULTS}: {text}")
            continue
        kind, name = unknown.groups()
        origins = [
            came
            for record in results.records
            for key, came in record.provenance.items()
            if key.split(" ")[0] == kind and came.name == name
        ]
        said = f"{RESULTS}: {kind} `{name}` is not installed here.{_came_from(origins)}"
        yield remark(SUITE, f"{said} Configurations and tables were not compared; {_get(origins)} to compare them.")


def _came_from(origins: Sequence[Origin]) -> str:
    names = sorted({f"{came.distribution} {came.version}".strip() for came in origins})
    return f" The records say it is of {', '.join(names)}." if names else ""


def _get(origins: Sequence[Origin]) -> str:
    """How a component is had that records name: a plugin file is named, a distribution installed."""
    files = sorted({came.distribution.removeprefix(_FILE) for came in origins if _is_file(came)})
    flags = " ".join(f"--plugin {name}" for name in files)
    if not flags:
        return "install it"
    return f"give the file with `{flags}`" if all(map(_is_file, origins)) else f"install it, or give it with `{flags}`"


def _is_file(came: Origin) -> bool:
    return came.distribution.startswith(_FILE)


def _absent(record: Record, registry: Registry) -> Iterator[str]:
    """Components of a record that are not installed here, with how they are had."""
    for key, came in sorted(record.provenance.items()):
        kind = key.split(" ")[0]
        if kind in registry.components and came.name not in registry.components[kind]:
            said = f"its {kind} `{came.name}` is not installed here.{_came_from([came])}"
            yield f"{said} Its configuration was not compared; {_get([came])} to compare it."


def _against_ours(suite: SuiteSpec, results: ResultsFile, registry: Registry) -> Iterator[Notice]:
    """A suite that is installed here under this name must be this one."""
    ours = registry.components["suite"].get(suite.suite.name)
    if ours is None:
        yield remark(SUITE, f"Suite `{suite.suite.name}` is not installed here: its text was taken as it came.")
    elif ours.spec.text != results.suite_text:
        meant = load_suite(ours.spec, registry)
        if meant == suite:
            yield remark(SUITE, f"{RESULTS}: the suite's text differs from the installed one in comments or layout.")
        elif meant.suite.version != suite.suite.version:
            said = f"{RESULTS} is of version {suite.suite.version} of the suite, version {meant.suite.version} is"
            yield remark(SUITE, f"{said} installed here.")
        else:
            paths = "; ".join(list(different(_plain(suite), _plain(meant)))[:3])
            said = f"{RESULTS}: the suite's text is not version {suite.suite.version} of `{suite.suite.name}`: {paths}."
            yield problem(SUITE, f"{said} A version never changes: give it another name or version.")


def _plain(suite: SuiteSpec) -> Any:
    return suite.model_dump(mode="json")


def different(found: Any, expected: Any, path: str = "", *, owner: str = "the suite") -> Iterator[str]:
    """Where two JSON values differ, as `path is X, the suite has Y`; 1 and 1.0 differ, as digests see them."""
    if isinstance(found, dict) and isinstance(expected, dict):
        for key in sorted(found.keys() | expected.keys()):
            where = f"{path}.{key}" if path else key
            if key not in found:
                yield f"`{where}` is missing, {owner} has {_said(expected[key])}"
            elif key not in expected:
                yield f"`{where}` is {_said(found[key])}, {owner} has none"
            else:
                yield from different(found[key], expected[key], where, owner=owner)
    elif isinstance(found, list) and isinstance(expected, list) and len(found) == len(expected):
        for i, (one, other) in enumerate(zip(found, expected, strict=True)):
            yield from different(one, other, f"{path}.{i}", owner=owner)
    elif json.dumps(found, sort_keys=True) != json.dumps(expected, sort_keys=True):
        yield f"`{path}` is {_said(found)}, {owner} has {_said(expected)}"


def _said(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:60]}..."  # noqa: PLR2004 - one line of a terminal


def identities(records: Sequence[Record]) -> Iterator[Notice]:
    """Every record's digest is that of its configuration, names and provenance agree, none is there twice."""
    seen: set[tuple[Any, ...]] = set()
    for record in records:
        spec = CellSpec(record.config, record.off_suite)
        if (spec.contender, spec.seed) != (record.contender, record.seed):
            own = f"{spec.contender}/{spec.seed}"
            yield problem(SUITE, f"{label(record)}: its configuration is of {own}. Publish it again.")
        if spec.digest != record.digest:
            said = f"`digest` is {record.digest}, its configuration gives {spec.digest}"
            yield problem(SUITE, f"{label(record)}: {said}. One of them was changed.")
        key = (record.contender, record.seed, record.off_suite)
        if key in seen:
            yield problem(SUITE, f"{label(record)}: there is a second record of this run. Keep one.")
        seen.add(key)
        yield from _provenance(record)


def _provenance(record: Record) -> Iterator[Notice]:
    for kind, component in record.config.components():
        key = provenance_key(kind, component.name)
        came = record.provenance.get(key)
        if came is None:
            yield problem(SUITE, f"{label(record)}: `provenance.{key}` is missing. Publish it again.")
        elif (came.name, came.source_sha256) != (component.name, component.source_sha256):
            said = f"`provenance.{key}` is of `{came.name}`, the configuration has `{component.name}`"
            yield problem(SUITE, f"{label(record)}: {said} or another source. One of them was changed.")


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
        if record.seed not in meant.seeds.leaderboard:
            said = f"seed {record.seed} is none of the suite's ({', '.join(map(str, meant.seeds.leaderboard))})"
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
        yield from (one.config.to_json() for one in expand(suite, registry, contenders=(name,), seeds=seed))
        return
    for kind in EXCHANGED:
        if name in registry.components[kind]:
            try:
                cells = expand(suite, registry, added=(f"{kind}/{name}",), contenders=(name,), seeds=seed)
            except UsageError:
                continue
            yield from (one.config.to_json() for one in cells)


def completeness(results: ResultsFile, suite: SuiteSpec) -> Iterator[Notice]:
    """Every cell of the suite has a record; those that did not finish are remarks."""
    for variant in variants(suite):
        missing = [seed for seed in suite.seeds.leaderboard if (variant.name, seed) not in results.named]
        if missing:
            seeds = f"seed {missing[0]}" if len(missing) == 1 else f"seeds {', '.join(map(str, missing))}"
            yield problem(COMPLETE, f"{RESULTS}: no record of {variant.name} for {seeds}. Run what is missing.")


def unfinished(records: Sequence[Record]) -> Iterator[Notice]:
    """Runs that failed or diverged, with why."""
    for record in records:
        if record.status != "done":
            yield remark(COMPLETE, f"{label(record)}: {record.status}: {record.reason}")
