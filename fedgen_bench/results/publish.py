"""Write a leaderboard folder from the store, and check that a folder is what its own results give."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.errors import UsageError, WouldLoseError
from fedgen_bench.base.files import inside, present
from fedgen_bench.base.killpoints import passing
from fedgen_bench.base.text import printable
from fedgen_bench.contract.params import make_params
from fedgen_bench.contract.specs import SuiteSource
from fedgen_bench.results.bands import bands_csv
from fedgen_bench.results.details import details
from fedgen_bench.results.folders import mend, write_together
from fedgen_bench.results.leaderboard import Record, Table, build_table, record_of, results_text
from fedgen_bench.results.manifest import differences
from fedgen_bench.results.published import RESULTS, open_folder
from fedgen_bench.suite.load import load_suite

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.results.store import Store, StoredRun
    from fedgen_bench.suite.schema import SuiteSpec

BANDS = "bands.csv"
_FEW = 3


def render(table: Table, registry: Registry, *, only: str | None = None) -> dict[str, bytes | None]:
    """What every registered table format (or one) gives, by file name; None where the table gives no such file.

    Texts are made printable, whatever names and titles hold.
    """
    formats = registry.components["table_format"]
    rendered: dict[str, bytes | None] = {}
    for _, found in sorted(formats.items()):
        if only is not None and found.spec.filename != only:
            continue
        params, _ = make_params(found.spec.params, {})
        content = found.spec.build(params).render(table)
        rendered[found.spec.filename] = printable(content, keep="\n").encode() if isinstance(content, str) else content
    return rendered


def finished(store: Store, suite: SuiteSpec) -> list[StoredRun]:
    """The store's runs of a suite version that have ended, well or not."""
    return [run for run in store.runs(suite.suite.name, suite.suite.version) if run.status != "running"]


def records_of(runs: Sequence[StoredRun], suite: SuiteSpec) -> list[Record]:
    """The published record of every run, as JSON has it; pictures are published of the first leaderboard seed alone."""

    def shown(run: StoredRun) -> bool:
        return run.spec.seed == suite.seeds.leaderboard[0] and not run.spec.off_suite

    return [json.loads(json.dumps(record_of(run, with_showcase=shown(run)))) for run in runs]


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
            f"`--leaderboards`, or give them up with `fedgen-bench leaderboard --suite {suite.suite.name} --replace`."
        )
    contents = {
        RESULTS: results_text(suite, source.text, records).encode(),
        BANDS: bands_csv(records).encode(),
        **details(runs),
        **render(table, registry),
        "timing.csv": _timing(runs).encode(),
        "environment.json": _environments(runs).encode(),
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
    mend(folder)
    if not present(folder / RESULTS):
        return []
    found = open_folder(folder)
    held = store.metrics(found.source.name)
    return [one for one in found.records if one["digest"] not in held or _numbers(one) not in ({}, held[one["digest"]])]


def _numbers(record: Record) -> Mapping[str, float]:
    return record["metrics"] if record["status"] == "done" else {}


def _lost(folder: Path, records: Iterable[Record], store: Store) -> list[str]:
    """What would be gone if the records took a folder's place: results that the store lacks, and cells without one."""
    cells, lacked = {_cell(one) for one in records}, {_cell(one) for one in lacking(folder, store)}
    old = open_folder(folder).records if present(folder / RESULTS) else []
    return [f"{one['contender']}/{one['seed']}" for one in old if _cell(one) in lacked or _cell(one) not in cells]


def _cell(record: Record) -> tuple[Any, ...]:
    return record["contender"], record["seed"], *record["off_suite"]


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_FEW])
    return f"{len(names)} results ({shown}{', ...' if len(names) > _FEW else ''})"


def _timing(runs: Sequence[StoredRun]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["contender", "seed", "status", "seconds"])
    for run in sorted(runs, key=lambda one: (one.spec.contender, one.spec.seed)):
        writer.writerow([run.spec.contender, run.spec.seed, run.status, f"{run.seconds:.1f}"])
    return out.getvalue()


def _environments(runs: Sequence[StoredRun]) -> str:
    """Every environment that a run was made in, with the runs."""
    found: dict[str, list[str]] = {}
    for run in runs:
        found.setdefault(json.dumps(run.environment, sort_keys=True), []).append(
            f"{run.spec.contender}/{run.spec.seed}"
        )
    listed: list[Mapping[str, Any]] = [
        {"environment": json.loads(key), "runs": sorted(names)} for key, names in sorted(found.items())
    ]
    return json.dumps(listed, indent=1, sort_keys=True) + "\n"


def remake(folder: Path, registry: Registry) -> None:
    """Write a published folder again from its own results; drawn files stay as they are.

    Numbers do not change. The suite's text becomes the installed one when that has the same version.

    Raises:
        UsageError, StoreError: as `open_folder`; nothing can be written.
    """
    found = open_folder(folder)
    source, records = found.source, found.records
    suite = load_suite(source, registry)
    ours = registry.components["suite"].get(source.name)
    if ours is not None:
        installed = load_suite(ours.spec, registry)
        if installed.suite.version == suite.suite.version:
            source, suite = ours.spec, installed
    drawn = _drawn(registry)
    given = _given(source, suite, records, registry)
    write_together(folder, {name: content for name, content in given.items() if name not in drawn})


def _given(
    source: SuiteSource, suite: SuiteSpec, records: Sequence[Record], registry: Registry
) -> dict[str, bytes | None]:
    """What records alone give, by file name."""
    return {
        RESULTS: results_text(suite, source.text, records).encode(),
        BANDS: bands_csv(records).encode(),
        **render(build_table(suite, records, registry), registry),
    }


def _drawn(registry: Registry) -> set[str]:
    return {one.spec.filename for one in registry.components["table_format"].values() if not one.spec.exact}


def check_folder(folder: Path, registry: Registry) -> list[str]:
    """Files of a published folder that differ from what its results give, or from its manifest.

    Drawn ones are only asked to be what the manifest says.

    Raises:
        UsageError, StoreError: as `open_folder`, or the suite's text is none.
    """
    found = open_folder(folder)
    source, records = found.source, found.records
    suite = load_suite(source, registry)
    expected, drawn = _given(source, suite, records, registry), _drawn(registry)
    wrong = {
        name for name, content in expected.items() if not _is_published(folder / name, content, exact=name not in drawn)
    }
    return sorted(wrong | set(differences(folder)))


def _is_published(path: Path, content: bytes | None, *, exact: bool) -> bool:
    if content is None:
        return not path.exists()
    return path.is_file() and (not exact or path.read_bytes() == content)
