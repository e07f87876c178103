"""Check a results folder from a stranger. Nothing in it is executed, unpickled or imported."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fedgen_bench.base.errors import StoreError, UsageError
from fedgen_bench.results.details import read_figures, read_messages
from fedgen_bench.results.files import LEDGER, METRICS, RESULTS
from fedgen_bench.results.published import ResultsFile, examine
from fedgen_bench.review.validation import (
    clock,
    configurations,
    costs,
    figures,
    folder,
    ledger,
    privacy,
    published,
    suite,
    values,
)
from fedgen_bench.review.validation.notices import GROUPS, Notice, Report, capped, problem, remark

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.results.record import Record
    from fedgen_bench.review.validation.folder import Contents

__all__ = ["Notice", "Report", "validate"]

_WITHOUT = "There is no {} (older versions wrote none): only totals were checked."


def validate(path: Path, registry: Registry) -> Report:
    """All that is wrong with a submitted folder, and all that a reader should know, by group.

    Raises:
        UsageError: there is no such folder.
    """
    if not path.is_dir():
        raise UsageError(f"{path} is no folder. Name a folder with a {RESULTS}, as `run` writes it.")
    files, notices = folder.scan(path)
    notices += _guarded("folder", lambda: folder.contents(files, registry))
    notices += _guarded("manifest", lambda: folder.manifest(files))
    results: ResultsFile | None = None
    if files.has(RESULTS):
        results, wrong = _results(path)
        notices += wrong
    else:
        notices.append(problem("schema", f"There is no {RESULTS} that can be read. Publish the folder again."))
    if results is not None:
        notices += _of_results(results, files, registry)
    ordered = sorted(capped(notices), key=lambda one: (GROUPS.index(one.group), not one.problem))
    return Report(0 if results is None else len(results.records), tuple(ordered))


def _results(path: Path) -> tuple[ResultsFile | None, list[Notice]]:
    try:
        results, wrong = examine(path)
    except StoreError as error:
        return None, [problem("schema", str(error))]
    return results, [problem("schema", text) for text in wrong]


def _of_results(results: ResultsFile, files: Contents, registry: Registry) -> Iterator[Notice]:
    records = results.records
    spec, notices = None, list[Notice]()
    try:
        spec, notices = suite.suite_of(results, registry)
    except Exception as error:  # noqa: BLE001 - as in `_guarded`
        notices = [_unchecked("suite", error)]
    yield from notices
    yield from _guarded("suite", lambda: suite.identities(records))
    yield from _guarded("completeness", lambda: suite.unfinished(records))
    if spec is not None:
        meant = spec
        yield from _guarded("suite", lambda: configurations.configurations(records, meant, registry))
        yield from _guarded("completeness", lambda: suite.completeness(results, meant))
    yield from _guarded("pairing", lambda: published.pairing(records))
    yield from _guarded("ledger", lambda: ledger.totals(records))
    yield from _guarded("ledger", lambda: ledger.analytic(records, registry))
    yield from _guarded("values", lambda: values.values(records, registry))
    yield from _guarded("values", lambda: values.models(records))
    yield from _guarded("values", lambda: clock.clocks(records))
    yield from _guarded("values", lambda: costs.costs(records, registry))
    yield from _guarded("values", lambda: privacy.guarantees(records, registry))
    yield from _guarded("environments", lambda: published.environments(records))
    if not results.complete:
        yield remark("schema", "Parquet files and tables were not compared. Mend the records first.")
        return
    yield from _guarded("ledger", lambda: _messages(records, files))
    yield from _guarded("values", lambda: _figures(records, files))
    yield from _guarded("files", lambda: published.beside(results, files))
    if spec is not None:
        yield from _guarded("files", lambda: published.rendered(results, meant, registry, files))


def _messages(records: Sequence[Record], files: Contents) -> Iterator[Notice]:
    if not files.has(LEDGER):
        yield remark("ledger", _WITHOUT.format(LEDGER))
        return
    try:
        rows = read_messages(files.folder)
    except StoreError as error:
        yield problem("ledger", str(error))
        return
    yield from ledger.messages(records, rows)
    yield from clock.messages(records, rows)
    yield from costs.first_messages(records, rows)


def _figures(records: Sequence[Record], files: Contents) -> Iterator[Notice]:
    if not files.has(METRICS):
        yield remark("values", _WITHOUT.format(METRICS))
        return
    try:
        rows = read_figures(files.folder)
    except StoreError as error:
        yield problem("values", str(error))
        return
    yield from figures.figures(records, rows)


def _guarded(group: str, check: Callable[[], Iterable[Notice]]) -> list[Notice]:
    """What a check finds; that it cannot go on is a notice as well."""
    notices: list[Notice] = []
    try:
        notices.extend(check())
    except Exception as error:  # noqa: BLE001 - whatever a stranger's file makes fail, the other checks are made
        notices.append(_unchecked(group, error))
    return notices


def _unchecked(group: str, error: Exception) -> Notice:
    return problem(group, f"This could not be checked to its end ({type(error).__name__}: {error}). Publish again.")
