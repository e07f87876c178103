"""Write a leaderboard folder from the store, never by less than the folder held."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fedgen_bench.base.errors import UsageError, WouldLoseError
from fedgen_bench.base.files import inside
from fedgen_bench.base.killpoints import passing
from fedgen_bench.base.libraries import import_ahead
from fedgen_bench.results.contents import contents_of
from fedgen_bench.results.details import details
from fedgen_bench.results.environments import environments_text
from fedgen_bench.results.files import ENVIRONMENT, TIMING, left_out
from fedgen_bench.results.folders import write_together
from fedgen_bench.results.leaderboard import build_table
from fedgen_bench.results.published import has_results, open_folder
from fedgen_bench.results.recording import final_metrics, records_of
from fedgen_bench.results.timing import timing_csv

if TYPE_CHECKING:
    from fedgen_bench.contract.specs import SuiteSource
    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.results.record import Record
    from fedgen_bench.results.store import Store, StoredRun
    from fedgen_bench.results.table import Table
    from fedgen_bench.suite.schema import SuiteSpec

_FEW = 3
_LIBRARIES = ("pyarrow.parquet", "pandas")  # the former asks for the latter


def finished(store: Store, suite: SuiteSpec) -> list[StoredRun]:
    """The store's runs of a suite version that have ended, well or not."""
    return [run for run in store.runs(suite.suite.name, suite.suite.version) if run.status != "running"]


def publish(
    source: SuiteSource,
    suite: SuiteSpec,
    registry: Registry,
    store: Store,
    leaderboards: Path,
    *,
    replace: bool = False,
) -> tuple[Table, Path]:
    """Rank what the store has for this suite version and write `leaderboards/<suite>/`; returns table and folder.

    Files of the folder that publishing does not write stay.

    Raises:
        UsageError: the store has no finished run of this suite version.
        WouldLoseError: the folder holds results that the store lacks, and `replace` does not say that they may go.
        StoreError: nothing can be written; the folder is as it was.
    """
    runs = finished(store, suite)
    if not runs:
        raise UsageError(
            f"{store.root} holds no finished run of suite `{suite.suite.name}`, version {suite.suite.version}. Run it "
            "first, or name another store with `--runs`."
        )
    records = records_of(runs, suite)
    table = build_table(suite, records, registry)
    folder = inside(leaderboards, suite.suite.name)
    if not replace and (lost := _lost(folder, records, store)):
        raise WouldLoseError(
            f"{folder} stays as it is: it holds {_few(lost)} that {store.root} does not have. Name another folder with "
            f"`--leaderboards`, or give them up with `fedgen-bench leaderboard --suite {source.option} --replace`."
        )
    formats = (one.spec for one in registry.components["table_format"].values())
    import_ahead((*(name for spec in formats for name in spec.libraries), *_LIBRARIES))
    contents = {
        **contents_of(
            table,
            records,
            suite=suite,
            suite_text=source.text,
            registry=registry,
            but=left_out(registry, folder),
        ),
        **details(runs),
        TIMING: timing_csv(runs).encode(),
        ENVIRONMENT: environments_text(records).encode(),
    }
    passing("table.rendered")
    write_together(folder, contents)
    return table, folder


def ranked(suite: SuiteSpec, registry: Registry, store: Store) -> Table:
    """The table of what the store has for this suite version."""
    return build_table(suite, records_of(finished(store, suite), suite), registry)


def lacking(folder: Path, store: Store) -> list[Record]:
    """Published results that no run of the store has.

    Raises:
        StoreError: the published results cannot be read.
    """
    if not has_results(folder):
        return []
    published = open_folder(folder)
    held = store.metrics(published.source.name)
    return [record for record in published.records if not _is_held(record, held)]


def _is_held(record: Record, held: Mapping[str, Mapping[str, float]]) -> bool:
    """Whether a run of the same settings ended with these metrics, or the record has none to lose."""
    if record.digest not in held or record.status != "done":
        return record.digest in held
    return record.metrics == final_metrics(held[record.digest])


def _lost(folder: Path, records: Iterable[Record], store: Store) -> list[str]:
    """What would be gone if the records took a folder's place: results that the store lacks, and cells without one."""
    cells, lacked = {_cell(record) for record in records}, {_cell(record) for record in lacking(folder, store)}
    old = open_folder(folder).records if has_results(folder) else ()
    return [record.name for record in old if _cell(record) in lacked or _cell(record) not in cells]


def _cell(record: Record) -> tuple[object, ...]:
    return record.contender, record.seed, *record.off_suite


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_FEW])
    return f"{len(names)} results ({shown}{', ...' if len(names) > _FEW else ''})"
