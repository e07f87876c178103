"""Which rows of a folder from elsewhere may be added to a published one, and why others may not.

Cells that both folders hold are the measure of the other machine: they must agree as closely as `reproduce` asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fedgen_bench.base.errors import StoreError, UsageError, unknown
from fedgen_bench.results.bands import bands
from fedgen_bench.results.environments import UNTOLD, by_environment
from fedgen_bench.results.pairing import check_pairing
from fedgen_bench.results.published import PublishedFolder, open_folder
from fedgen_bench.results.tiers import tier
from fedgen_bench.review.comparison import ComparedCell, SeedTest, compare_records, judge_over_seeds
from fedgen_bench.review.validation import validate
from fedgen_bench.review.validation.differing import different
from fedgen_bench.suite.load import load_suite

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.results.record import Record
    from fedgen_bench.suite.schema import SuiteSpec

_MISSING = "completeness"  # what a folder of rows may lack: the other rows
_FEW = 3
_Cell = tuple[str, int]


@dataclass(frozen=True)
class Addition:
    """Rows that may be added.

    Args:
        theirs: the folder that they are in.
        added: their records.
        shared: cells that both folders hold, compared.
        tests: of those of the statistical tier, over seeds.
    """

    theirs: PublishedFolder
    added: tuple[Record, ...]
    shared: tuple[ComparedCell, ...]
    tests: tuple[SeedTest, ...]


def addition(ours: PublishedFolder, path: Path, registry: Registry, contenders: Sequence[str] = ()) -> Addition:
    """The rows of the folder `path` that `ours` lacks, all or these; results with overrides are left out.

    Raises:
        UsageError: there is no such folder or contender, or nothing to add.
        StoreError: `validate` finds problems, the folders are of different suites, they disagree about a cell, a row
            would be of two machines, is incomplete, or nothing says that the machines agree.
        PairingError: a row did not see what the others saw.
    """
    _check_valid(path, registry)
    theirs, suite = open_folder(path, unchanged=True), load_suite(ours.source, registry)
    _check_suite(suite, load_suite(theirs.source, registry), ours.path, path)
    held = {(one.contender, one.seed): one for one in ours.records if not one.off_suite}
    given = {(one.contender, one.seed): one for one in theirs.records if not one.off_suite}
    chosen = _chosen(held, given, contenders, path)
    shared, tests = _compared(held, given, ours)
    _check_rows(chosen, suite, ours, path)
    _check_machines(chosen, given, held, ours.path, path)
    check_pairing([*held.values(), *chosen])
    return Addition(theirs, tuple(chosen), shared, tests)


def _check_valid(path: Path, registry: Registry) -> None:
    problems = [one for one in validate(path, registry).problems if one.group != _MISSING]
    if problems:
        shown = "\n".join(f"({one.group}) {one.text}" for one in problems[:_FEW])
        more = f"\n{len(problems) - _FEW} more." if len(problems) > _FEW else ""
        raise StoreError(f"{path} has problems, which `fedgen-bench validate {path}` lists:\n{shown}{more}")


def _check_suite(suite: SuiteSpec, other: SuiteSpec, ours: Path, theirs: Path) -> None:
    if suite != other:
        found, expected = (one.model_dump(mode="json") for one in (other, suite))
        said = "; ".join(list(different(found, expected, owner=str(ours)))[:_FEW])
        raise StoreError(f"{theirs} is of another suite than {ours}: {said}. Run the suite as it was published.")


def _chosen(
    held: Mapping[_Cell, Record], given: Mapping[_Cell, Record], contenders: Sequence[str], path: Path
) -> list[Record]:
    new = {cell: record for cell, record in given.items() if cell not in held}
    names = {name for name, _ in new}
    for name in contenders:
        if name not in names:
            raise UsageError(unknown("new contender", name, names))
    chosen = [record for (name, _), record in new.items() if not contenders or name in contenders]
    if not chosen:
        raise UsageError(f"{path} holds no row that is not published already. Nothing was added.")
    return chosen


def _compared(
    held: Mapping[_Cell, Record], given: Mapping[_Cell, Record], ours: PublishedFolder
) -> tuple[tuple[ComparedCell, ...], tuple[SeedTest, ...]]:
    """Cells that both folders hold. Raises StoreError where they disagree."""
    limits, found = bands(ours.records), []
    for cell, record in given.items():
        if (published := held.get(cell)) is None:
            continue
        if published.digest != record.digest:
            there, here = (one.config.to_json() for one in (record, published))
            said = "; ".join(list(different(there, here, owner="the published one"))[:_FEW])
            raise StoreError(f"{record.name} was run under another configuration: {said}. Run it as it was published.")
        if published.status != record.status:
            said = f"{record.name} is {record.status} there and was published as {published.status}"
            raise StoreError(f"{said}: the machines do not agree. Find out why before rows of both are compared.")
        if published.status == "done":
            apart = tier(published.environment, record.environment)
            found.append(compare_records(published, record, apart, limits))
    cells, tests = judge_over_seeds(found, limits)
    for one in cells:
        if wrong := next((value for value in one.values if value.verdict == "differs"), None):
            raise StoreError(
                f"{one.name} did not come out there as it was published: {wrong.what} is {wrong.here}, published is "
                f"{wrong.published} ({one.tier.name} tier). Find out why before rows of both machines are compared."
            )
    return cells, tests


def _check_rows(chosen: Sequence[Record], suite: SuiteSpec, ours: PublishedFolder, path: Path) -> None:
    """A row has all of the suite's seeds, and is of one folder."""
    published = {one.contender for one in ours.records if not one.off_suite}
    for name in dict.fromkeys(one.contender for one in chosen):
        own = [one for one in chosen if one.contender == name]
        if name in published:
            raise StoreError(
                f"{ours.path} has {name} with fewer seeds, and a row is of one machine. Leave it out with "
                "`--contender`, or publish all of its seeds from one store."
            )
        needed = suite.seeds.of(ranked=own[0].config.contender.ranked)
        if missing := sorted(set(needed) - {one.seed for one in own}):
            raise StoreError(
                f"{path} has {name} without seed {missing[0]}. Run the row under all of the suite's seeds."
            )


def _check_machines(
    chosen: Sequence[Record], given: Mapping[_Cell, Record], held: Mapping[_Cell, Record], ours: Path, path: Path
) -> None:
    """Each environment that rows come from is the published one, or has run a published cell as well."""
    known = by_environment([*held.values(), *(record for cell, record in given.items() if cell in held)], but=UNTOLD)
    for where, records in by_environment(chosen, but=UNTOLD):
        if all(where != one for one, _ in known):
            raise StoreError(
                f"Nothing says that the machine of {records[0].name} in {path} gives what that of {ours} gave: it has "
                "run no published cell. Run one of the published contenders there as well, such as the suite's "
                "reference."
            )
