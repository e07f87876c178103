"""The suite of a results file, whether records are of the cell that they name, and which cells have none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.errors import SuiteError
from fedgen_bench.contract.specs import SuiteSource
from fedgen_bench.results.files import RESULTS
from fedgen_bench.results.record import Record
from fedgen_bench.review.validation.differing import different
from fedgen_bench.review.validation.notices import Notice, label, problem, remark
from fedgen_bench.review.validation.origins import came_from, how_to_get
from fedgen_bench.suite.cellconfig import provenance_key
from fedgen_bench.suite.cells import CellSpec
from fedgen_bench.suite.load import load_suite
from fedgen_bench.suite.schema import SuiteSpec
from fedgen_bench.suite.sweeps import variants

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.results.published import ResultsFile

SUITE, COMPLETE = "suite", "completeness"
_MOST_TEXT, _MOST_CELLS = 128 << 10, 10_000
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
        said = f"{RESULTS}: {kind} `{name}` is not installed here.{came_from(origins)}"
        yield remark(
            SUITE, f"{said} Configurations and tables were not compared; {how_to_get(origins)} to compare them."
        )


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


def completeness(results: ResultsFile, suite: SuiteSpec) -> Iterator[Notice]:
    """Every cell of the suite has a record; those that did not finish are remarks."""
    for variant in variants(suite):
        needed = suite.seeds.of(ranked=variant.contender.ranked)
        missing = [seed for seed in needed if (variant.name, seed) not in results.named]
        if missing:
            seeds = f"seed {missing[0]}" if len(missing) == 1 else f"seeds {', '.join(map(str, missing))}"
            yield problem(COMPLETE, f"{RESULTS}: no record of {variant.name} for {seeds}. Run what is missing.")


def unfinished(records: Sequence[Record]) -> Iterator[Notice]:
    """Runs that failed or diverged, with why."""
    for record in records:
        if record.status != "done":
            yield remark(COMPLETE, f"{label(record)}: {record.status}: {record.reason}")
