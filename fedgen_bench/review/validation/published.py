"""The other files of a folder against its results, and the environments that these were made in."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fedgen_bench.base.errors import PairingError
from fedgen_bench.results.contents import contents_of
from fedgen_bench.results.environments import UNTOLD, by_environment, listed
from fedgen_bench.results.files import ENVIRONMENT, RESULTS, TIMING, drawn_names, left_out
from fedgen_bench.results.leaderboard import build_table
from fedgen_bench.results.pairing import check_pairing
from fedgen_bench.review.validation.differing import different
from fedgen_bench.review.validation.notices import Notice, label, problem, remark

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.results.published import ResultsFile
    from fedgen_bench.results.record import Record
    from fedgen_bench.review.validation.folder import Contents
    from fedgen_bench.suite.schema import SuiteSpec

FILES, ENVIRONMENTS, PAIRING = "files", "environments", "pairing"


def pairing(records: Sequence[Record]) -> Iterator[Notice]:
    """Runs that did not see the same."""
    try:
        check_pairing(records)
    except PairingError as error:
        yield problem(PAIRING, f"{RESULTS}: {error}")


def environments(records: Sequence[Record]) -> Iterator[Notice]:
    """A row was made in one environment; rows of others are told, and so are commits."""
    compared = [record for record in records if not record.off_suite]
    kinds = sorted(by_environment(compared, but=UNTOLD), key=lambda one: -len(one[1]))
    for where, together in kinds[1:]:
        first, owners = kinds[0]
        said = "; ".join(list(different(where, first, owner=owners[0].name))[:3])
        own = {record.contender for record in together}
        if own & {record.contender for other, records in kinds if other != where for record in records}:
            yield problem(ENVIRONMENTS, f"{label(together[0])}: another environment: {said}. Run all of a row in one.")
        else:
            rows = ", ".join(sorted(own))
            yield remark(ENVIRONMENTS, f"{RESULTS}: {rows}: from another environment: {said}.")
    commits = sorted({str(record.environment.get("commit", "")) for record in compared})
    if len(commits) > 1:
        yield remark(
            ENVIRONMENTS, f"{RESULTS}: records of {len(commits)} commits: {', '.join(c[:19] for c in commits)}."
        )
    for commit in commits:
        if not commit or commit.endswith("+dirty"):
            said = "without a commit" if not commit else f"from a changed checkout of {commit[:12]}"
            yield remark(ENVIRONMENTS, f"{RESULTS}: records made {said}: their code cannot be looked up.")


def rendered(results: ResultsFile, suite: SuiteSpec, registry: Registry, files: Contents) -> Iterator[Notice]:
    """Tables and bands as the results give them; drawn files are not drawn."""
    expected = contents_of(
        build_table(suite, results.records, registry),
        results.records,
        suite=suite,
        suite_text=results.suite_text,
        registry=registry,
        but=drawn_names(registry) | left_out(registry, files.folder),
    )
    for name, content in sorted(expected.items()):
        if content is not None and not files.has(name):
            yield problem(FILES, f"{name} is missing. Publish the folder again.")
        elif content is not None and (files.folder / name).read_bytes() != content:
            said = "is not as publishing writes it" if name == RESULTS else f"is not what {RESULTS} gives"
            yield problem(FILES, f"{name} {said}. Publish the folder again.")


def beside(results: ResultsFile, files: Contents) -> Iterator[Notice]:
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
    if timed != sorted((one.contender, str(one.seed), one.status) for one in results.records):
        yield problem(FILES, f"{TIMING} lists other runs than {RESULTS}, or another status. Publish the folder again.")


def _listed(results: ResultsFile, files: Contents) -> Iterator[Notice]:
    try:
        said = json.loads(files.text(ENVIRONMENT))
    except (ValueError, RecursionError):
        said = None
    if said != listed(results.records):
        yield problem(FILES, f"{ENVIRONMENT} is not what the records of {RESULTS} say. Publish the folder again.")
