"""The other files of a folder against its results, and the environments that these were made in."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.errors import PairingError
from fedgen_bench.results.bands import bands_csv
from fedgen_bench.results.leaderboard import build_table, check_pairing, results_text
from fedgen_bench.results.publish import BANDS, render
from fedgen_bench.results.published import RESULTS
from fedgen_bench.review.validation.findings import Finding, label, problem, remark
from fedgen_bench.review.validation.suite import different

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.results.published import Results
    from fedgen_bench.review.validation.folder import Contents
    from fedgen_bench.suite.schema import SuiteSpec

FILES, ENVIRONMENTS, PAIRING = "files", "environments", "pairing"
ENVIRONMENT, TIMING = "environment.json", "timing.csv"
Record = Mapping[str, Any]


def pairing(records: Sequence[Record]) -> Iterator[Finding]:
    """Runs that did not see the same."""
    try:
        check_pairing(records)
    except PairingError as error:
        yield problem(PAIRING, f"{RESULTS}: {error}")


def environments(records: Sequence[Record]) -> Iterator[Finding]:
    """Records that stand in one table were made in one environment, and its commits are known."""
    compared = [record for record in records if not record["off_suite"]]
    kinds: dict[str, Record] = {}
    for record in compared:
        own = {key: value for key, value in record["environment"].items() if key != "commit"}
        kinds.setdefault(json.dumps(own, sort_keys=True), record)
    first, *others = kinds or ["{}"]
    for other in others:
        where = f"{kinds[first]['contender']}/{kinds[first]['seed']}"
        said = "; ".join(list(different(json.loads(other), json.loads(first), owner=where))[:3])
        yield problem(ENVIRONMENTS, f"{label(kinds[other])}: another environment: {said}. Run all in one.")
    commits = sorted({str(record["environment"].get("commit", "")) for record in compared})
    if len(commits) > 1:
        yield remark(
            ENVIRONMENTS, f"{RESULTS}: records of {len(commits)} commits: {', '.join(c[:19] for c in commits)}."
        )
    for commit in commits:
        if not commit or commit.endswith("+dirty"):
            said = "without a commit" if not commit else f"from a changed checkout of {commit[:12]}"
            yield remark(ENVIRONMENTS, f"{RESULTS}: records made {said}: their code cannot be looked up.")


def rendered(results: Results, suite: SuiteSpec, registry: Registry, files: Contents) -> Iterator[Finding]:
    """Tables and bands as the results give them; drawn files are not drawn."""
    expected: dict[str, bytes | None] = {
        RESULTS: results_text(suite, results.suite_text, results.records).encode(),
        BANDS: bands_csv(results.records).encode(),
    }
    table = build_table(suite, results.records, registry)
    for one in registry.components["table_format"].values():
        if one.spec.exact:
            expected |= render(table, registry, only=one.spec.filename)
    for name, content in sorted(expected.items()):
        if content is not None and not files.has(name):
            yield problem(FILES, f"{name} is missing. Publish the folder again.")
        elif content is not None and (files.folder / name).read_bytes() != content:
            said = "is not as publishing writes it" if name == RESULTS else f"is not what {RESULTS} gives"
            yield problem(FILES, f"{name} {said}. Publish the folder again.")


def beside(results: Results, files: Contents) -> Iterator[Finding]:
    """Environments and times list the runs that the results have."""
    if files.has(ENVIRONMENT):
        yield from _listed(results, files)
    else:
        yield remark(FILES, f"There is no {ENVIRONMENT}.")
    if not files.has(TIMING):
        yield remark(FILES, f"There is no {TIMING}.")
        return
    rows = list(csv.DictReader(io.StringIO(files.text(TIMING))))
    timed = sorted((row.get("contender"), row.get("seed"), row.get("status")) for row in rows)
    if timed != sorted((one["contender"], str(one["seed"]), one["status"]) for one in results.records):
        yield problem(FILES, f"{TIMING} lists other runs than {RESULTS}, or another status. Publish the folder again.")


def _listed(results: Results, files: Contents) -> Iterator[Finding]:
    runs: dict[str, list[str]] = {}
    for record in results.records:
        key = json.dumps(record["environment"], sort_keys=True)
        runs.setdefault(key, []).append(f"{record['contender']}/{record['seed']}")
    expected = [{"environment": json.loads(key), "runs": sorted(names)} for key, names in sorted(runs.items())]
    try:
        listed = json.loads(files.text(ENVIRONMENT))
    except (ValueError, RecursionError):
        listed = None
    if listed != expected:
        yield problem(FILES, f"{ENVIRONMENT} is not what the records of {RESULTS} say. Publish the folder again.")
