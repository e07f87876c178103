"""Results that are there already, in a store or a published folder, with the table that they make."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fedgen_bench.base.errors import UsageError
from fedgen_bench.base.files import disk_error
from fedgen_bench.results.checking import redraw
from fedgen_bench.results.contrasts import Contrast, contrasts
from fedgen_bench.results.files import RESULTS
from fedgen_bench.results.leaderboard import build_table
from fedgen_bench.results.publish import finished, publish, ranked
from fedgen_bench.results.published import has_results, open_folder
from fedgen_bench.results.recording import records_of
from fedgen_bench.results.store import Store
from fedgen_bench.session.frames import Results
from fedgen_bench.session.plots import plots
from fedgen_bench.suite.load import load_suite
from fedgen_bench.suite.source import suite_source

if TYPE_CHECKING:
    from fedgen_bench.contract.specs import SuiteSource
    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.results.table import Table
    from fedgen_bench.suite.schema import SuiteSpec


def stored_results(store: Store, suite: SuiteSpec, table: Table, registry: Registry) -> Results:
    """All ended runs of a suite, with the table that was made of them."""
    stored = finished(store, suite)
    return Results(table=table, records=tuple(records_of(stored, suite)), registry=registry, stored=tuple(stored))


def of_store(runs: Path, source: SuiteSource, registry: Registry) -> Results:
    """A store's results of a suite; nothing is written."""
    suite = load_suite(source, registry)
    with Store(runs, read_only=True) as store:
        return stored_results(store, suite, ranked(suite, registry, store), registry)


def of_folder(folder: Path, registry: Registry) -> Results:
    """What a published folder holds."""
    found = open_folder(folder)
    table = build_table(load_suite(found.source, registry), found.records, registry)
    return Results(table=table, records=tuple(found.records), registry=registry, messages=tuple(found.messages))


def load(where: Path, suite: str | Path | None, registry: Registry) -> Results:
    """Of a published folder, or of a store's suite.

    Raises:
        UsageError: there are none, or a store's suite is not named.
    """
    if has_results(where):
        return of_folder(where, registry)
    if suite is None:
        raise UsageError(f"{where} holds no {RESULTS}. If it is a results store, name its suite (`suite=`, `--suite`).")
    return of_store(where, suite_source(suite, registry), registry)


def drawn(folder: Path, out: Path | None, suffix: str, registry: Registry) -> tuple[Path, ...]:
    """The plots of a published folder, drawn into another one, as `svg`, `png` or `pdf`; or its own, in their place.

    Raises:
        UsageError, StoreError: there are none, or nothing can be written.
    """
    if out is None:
        return tuple(folder / name for name in redraw(folder, registry))
    drawings = plots(of_folder(folder, registry).table, registry)
    files = {out / f"{name}.{suffix}": drawing for name, drawing in drawings.items()}
    try:
        out.mkdir(parents=True, exist_ok=True)
        for file, drawing in files.items():
            drawing.save(file)
    except OSError as error:
        raise disk_error(error, out) from error
    return tuple(files)


def published(source: SuiteSource, registry: Registry, *, runs: Path, leaderboards: Path, replace: bool) -> Results:
    """A store's results of a suite, published."""
    suite = load_suite(source, registry)
    with Store(runs, create=False) as store:
        table, _ = publish(source, suite, registry, store, leaderboards, replace=replace)
        return stored_results(store, suite, table, registry)


def compared(
    source: SuiteSource, registry: Registry, first: str, second: str, runs: Path, leaderboards: str | Path | None
) -> tuple[Contrast, ...]:
    """Two contenders of a suite, seed by seed: as published where leaderboards are named, else as stored."""
    if leaderboards is not None:
        return contrasts(open_folder(Path(leaderboards) / source.name).records, first, second)
    suite = load_suite(source, registry)
    with Store(runs, read_only=True) as store:
        return contrasts(records_of(finished(store, suite), suite), first, second)
