"""`fedgen-bench reproduce`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from fedgen_bench.base.text import one_line
from fedgen_bench.cli import options

if TYPE_CHECKING:
    from fedgen_bench.registry.datasets import Places
    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.results.leaderboard import Record
    from fedgen_bench.results.store import Store
    from fedgen_bench.results.tiers import Tier
    from fedgen_bench.review.comparison import Cell, SeedTest
    from fedgen_bench.review.reproduction import Rerun
    from fedgen_bench.run.events import Event


@click.command("reproduce")
@click.argument("folder", type=options.PATH)
@options.many(options.contender, options.seed)
@click.option(
    "--sample",
    type=click.IntRange(1),
    default=None,
    metavar="K",
    help="Only K of the chosen cells, always the same: those whose digests, which are hashes, come first.",
)
@click.option(
    "--precision",
    type=click.Choice(["fp32"]),
    default=None,
    help="Run cells published in bf16 in fp32, for processors that only emulate bf16; the tier is statistical then.",
)
@options.many(options.data, options.files, options.device, options.plugin, options.jobs)
@click.option(
    "--out",
    type=options.PATH,
    default=None,
    metavar="DIR",
    help="Folder for the reruns' store and reproduction.json.  [default: reproduction/<suite>]",
)
def command(
    folder: Path,
    contenders: tuple[str, ...],
    seeds: tuple[int, ...],
    sample: int | None,
    precision: Literal["fp32"] | None,
    data: Path | None,
    files: Mapping[str, Path],
    device: str,
    plugin_files: tuple[Path, ...],
    jobs: int | None,
    out: Path | None,
) -> int:
    """Run cells of a published FOLDER again from its record alone, and compare.

    The published environment against the one here decides how closely a cell has to agree: exact, band or statistical.
    The folder is only read. The same command resumes. Exit codes: 0 all cells reproduced, 1 some not, 2 wrong usage,
    130 interrupted.
    """
    records = _published(folder)
    from fedgen_bench.base.files import sha256_of, write_atomic
    from fedgen_bench.registry.datasets import places
    from fedgen_bench.results.bands import bands
    from fedgen_bench.results.published import RESULTS
    from fedgen_bench.review.comparison import compare, judge_over_seeds
    from fedgen_bench.review.reproduction import choose, report, reruns_of
    from fedgen_bench.run.device import pick_device

    chosen = choose(records, contenders, seeds, sample)
    registry = options.open_registry(plugin_files)
    reruns = reruns_of(chosen, registry, precision)
    suite, version = reruns[0].spec.suite, reruns[0].spec.suite_version
    root = _outside(folder, out or Path("reproduction", suite))
    sources = places(registry, data, files)
    _need(reruns, registry, sources)
    device = pick_device(device)
    _foretell(reruns, device)
    again = _run(reruns, registry, sources, device, jobs, root)
    limits = bands(records)
    cells, tests = judge_over_seeds(
        [
            compare(one.record, here, _tier(one, here["environment"]), limits)
            for one, here in zip(reruns, again, strict=True)
        ],
        limits,
    )
    selection: dict[str, Any] = {
        "schema": 1,
        "results_sha256": sha256_of(folder / RESULTS),
        "suite": suite,
        "version": version,
        "selection": {"contenders": contenders, "seeds": seeds, "sample": sample, "precision": precision},
    }
    path = root / "reproduction.json"
    write_atomic(path, report(cells, tests, selection).encode())
    _print(cells, tests)
    click.echo(f"Written to {path}", err=True)
    return 0 if all(cell.reproduced for cell in cells) else 1


def _published(folder: Path) -> list[Record]:
    """The records of a folder that is what its manifest says. Raises UsageError or StoreError."""
    from fedgen_bench.base.errors import StoreError
    from fedgen_bench.results.manifest import MANIFEST, differences, read_manifest
    from fedgen_bench.results.published import open_folder

    records = open_folder(folder).records
    if read_manifest(folder) and (changed := differences(folder)):
        raise StoreError(
            f"{', '.join(changed)} in {folder} differ from {MANIFEST}: edited or truncated. Restore the folder from "
            "its commit."
        )
    return records


def _outside(folder: Path, out: Path) -> Path:
    from fedgen_bench.base.errors import UsageError

    if out.resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"{out} is inside the published folder. Name another one with `--out`.")
    return out


def _need(reruns: Sequence[Rerun], registry: Registry, sources: Places) -> None:
    """Tell everything that would make the runs fail, at once. Raises FedgenError."""
    from fedgen_bench.base.errors import DataError, FedgenError
    from fedgen_bench.registry.datasets import finder
    from fedgen_bench.review.reproduction import datasets_of, problems

    found, find = problems(reruns, registry), finder(registry, sources)
    expected: dict[str, dict[str, str]] = {}
    for one in reruns:
        if one.record["config"]["task"]["name"] in registry.components["task"]:
            for name in datasets_of(one.record, registry):
                expected.setdefault(name, {}).update(one.record["facts"]["data"])
    for name, published in expected.items():
        try:
            where = find(name)
        except DataError as error:
            found.append(str(error))
            continue
        for file, sha256 in registry.get("dataset", name).spec.hashes(where).items():
            if published.get(file, sha256) != sha256:
                found.append(
                    f"{file} of data set `{name}` has sha256 {sha256} here, {published[file]} was published. Provide "
                    "the same file with `--data DIR`."
                )
    if found:
        raise FedgenError("\n".join(found))


def _tier(rerun: Rerun, environment: Mapping[str, Any]) -> Tier:
    from fedgen_bench.results.tiers import tier

    return tier(rerun.record["environment"], environment, rerun.changes)


def _foretell(reruns: Sequence[Rerun], device: str) -> None:
    """Say on stderr which tiers are to be expected, and when bf16 will be slow."""
    from fedgen_bench.base.environment import emulated, fingerprint
    from fedgen_bench.cli.side_by_side import described

    def threads(one: Rerun) -> int:
        return one.spec.config.training.threads

    here = {n: fingerprint(device, n) for n in {threads(one) for one in reruns}}
    tiers = [_tier(one, here[threads(one)]) for one in reruns]
    for name in dict.fromkeys(one.name for one in tiers):
        same = [one for one in tiers if one.name == name]
        reasons = dict.fromkeys(reason for one in same for reason in one.reasons)
        why = f": {'; '.join(reasons)}" if reasons else ""
        click.echo(f"{len(same)} of {len(tiers)} cells: {described(name)}{why}", err=True)
    instructions = next(iter(here.values()))["instruction_set"]
    if any(emulated(one.spec.config.training.precision, device, instructions) for one in reruns):
        click.echo(
            f"Warning: cells were published in bf16, which this processor ({instructions}) only emulates: that takes "
            "tens of times longer. `--precision fp32` runs them in fp32.",
            err=True,
        )


def _run(
    reruns: Sequence[Rerun], registry: Registry, sources: Places, device: str, jobs: int | None, root: Path
) -> list[Record]:
    """Run what is left of the cells in a store of their own; the record of each."""
    from fedgen_bench.base.processes import default_jobs
    from fedgen_bench.cli.progress import Progress
    from fedgen_bench.results.store import Store
    from fedgen_bench.run.executor import Job
    from fedgen_bench.run.runner import run_cells

    specs = [one.spec for one in reruns]
    threads = max(spec.config.training.threads for spec in specs)
    job = Job(root / "store", sources, device, registry.plugin_files)
    workers = jobs or default_jobs(threads, device)
    with Store(job.root) as store:
        with Progress(len(specs), specs[0].config.evaluation.followed) as progress:
            ended = run_cells(specs, registry, job, store, workers=workers, on_event=progress.note)
        return _records(reruns, store, ended)


def _records(reruns: Sequence[Rerun], store: Store, ended: Sequence[Event]) -> list[Record]:
    import json

    from fedgen_bench.base.errors import StoreError
    from fedgen_bench.results.leaderboard import record_of

    first = reruns[0].spec
    stored = {run.spec.digest: run for run in store.runs(first.suite, first.suite_version)}
    how = {event.run: event for event in ended if event.status != "done"}
    found = []
    for one in reruns:
        if one.spec.digest not in stored:
            raise StoreError(f"{store.root} holds a later run of {one.name} with other settings. Use another `--out`.")
        record = json.loads(json.dumps(record_of(stored[one.spec.digest])))
        if one.spec.name in how:
            record |= {"status": how[one.spec.name].status, "reason": how[one.spec.name].reason}
        found.append(record)
    return found


def _print(cells: Sequence[Cell], tests: Sequence[SeedTest]) -> None:
    from fedgen_bench.cli.screen import grid
    from fedgen_bench.cli.side_by_side import HEAD, rows_of, sentences

    click.echo(grid(HEAD, [row for cell in cells for row in rows_of(cell)]))
    for test in tests:
        click.echo(f"{'holds' if test.passed else 'fails'}: {test.text}")
    for cell in cells:
        if cell.status != "done":
            click.echo(f"{cell.name}: {cell.status}: {one_line(cell.reason)}")
    for sentence in sentences(cells):
        click.echo(sentence)
