"""`fedgen-bench run`."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fedgen_bench.base.text import one_line, printable
from fedgen_bench.cli import completion, options

if TYPE_CHECKING:
    from fedgen_bench.registry.datasets import Places
    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.suite.cells import RunSpec


@click.command("run")
@options.many(
    options.suite,
    options.contender,
    options.seed,
    options.runs,
    options.leaderboards,
    options.data,
    options.files,
    options.device,
    options.plugin,
    options.engine,
    options.jobs,
    options.address,
)
@click.option(
    "--with",
    "added",
    multiple=True,
    metavar="NAME",
    shell_complete=completion.components("strategy", "adapter", "compressor"),
    help="Add a contender: the suite's reference with this strategy, adapter or uplink compressor (repeatable).",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="PATH=VALUE",
    help="Override a value of the suite; such results are shown, never ranked.",
)
@click.option("--dry-run", is_flag=True, help="Print cells, steps, exact bytes and an estimate of time, then stop.")
@click.option("-v", "--verbose", is_flag=True, help="Log every round.")
def command(
    suite_name: str,
    contenders: tuple[str, ...],
    seeds: tuple[int, ...],
    runs: Path,
    leaderboards: Path,
    data: Path | None,
    files: Mapping[str, Path],
    device: str,
    plugin_files: tuple[Path, ...],
    engine: str,
    jobs: int | None,
    address: str | None,
    added: tuple[str, ...],
    overrides: tuple[str, ...],
    dry_run: bool,  # noqa: FBT001 - click passes flags so
    verbose: bool,  # noqa: FBT001
) -> int:
    """Run a suite (or what is left of it) and write its leaderboard.

    What is done is skipped, what was cut off goes on where it stopped. Exit codes: 0 all cells done, 1 some failed,
    2 wrong usage, 130 interrupted. A published folder with results that the store lacks stays as it is: exit code 1.
    """
    registry = options.open_registry(plugin_files)
    source = options.find_suite(registry, suite_name)
    from fedgen_bench.base.processes import default_jobs
    from fedgen_bench.registry.datasets import places
    from fedgen_bench.registry.placement import placement
    from fedgen_bench.suite.cells import expand
    from fedgen_bench.suite.load import load_suite

    sources = places(registry, data, files)
    suite = load_suite(source, registry, overrides)
    place = placement(registry, engine, jobs, address, default_jobs(suite.training.threads, device))
    specs = expand(suite, registry, contenders=contenders, added=added, seeds=seeds, off_suite=overrides)
    warn_of_emulation({spec.config.training.precision for spec in specs}, device)
    if dry_run:
        return _dry_run(specs, registry, sources, device, place.jobs)
    from fedgen_bench.base.errors import WouldLoseError
    from fedgen_bench.cli.progress import Progress
    from fedgen_bench.results.publish import lacking, publish, ranked
    from fedgen_bench.results.store import Store
    from fedgen_bench.run.events import log_rounds
    from fedgen_bench.run.executor import Job
    from fedgen_bench.run.runner import run_cells

    if verbose:
        log_rounds()
    plain = load_suite(source, registry)
    with Store(runs) as store:
        asked = {spec.digest for spec in specs}
        if lost := [one for one in lacking(leaderboards / suite_name, store) if one["digest"] not in asked]:
            said = f"{leaderboards / suite_name} holds {len(lost)} results that {runs} lacks"
            click.echo(f"Warning: {said}. It will stay as it is; `--leaderboards` names another folder.", err=True)
        with Progress(len(specs), suite.evaluation.followed) as progress:
            ended = run_cells(
                specs,
                registry,
                Job(runs, sources, device, registry.plugin_files, engine, place.params, verbose=verbose),
                store,
                workers=place.n_cells,
                on_event=progress.note,
            )
        kept = None
        try:
            table, _ = publish(source, plain, registry, store, leaderboards)
        except WouldLoseError as error:
            kept, table = error, ranked(plain, registry, store)
    from fedgen_bench.cli.screen import print_table

    print_table(table)
    said = f"Written to {leaderboards / suite_name}" if kept is None else f"Results are in {runs}. {kept}"
    click.echo(printable(said), err=True)
    bad = [event for event in ended if event.status != "done"]
    for event in bad:
        click.echo(f"{event.run}: {event.status}: {one_line(event.reason)}", err=True)
    return 1 if bad or kept else 0


def warn_of_emulation(precisions: Collection[str], device: str) -> None:
    """Say on stderr when this processor makes the suite's precision slow, and how to avoid it."""
    if "bf16" not in precisions:
        return
    from fedgen_bench.base.environment import emulated, instruction_set
    from fedgen_bench.run.device import pick_device

    if emulated("bf16", pick_device(device), instructions := instruction_set()):
        click.echo(
            f"Warning: this processor ({instructions}) only emulates bf16: a step takes more than ten times as long. "
            "`--set training.precision=fp32` avoids it; such results are shown, never ranked.",
            err=True,
        )


def _dry_run(specs: Sequence[RunSpec], registry: Registry, data: Places, device: str, jobs: int) -> int:
    import torch

    from fedgen_bench.base.digits import show_bytes
    from fedgen_bench.cli.screen import grid
    from fedgen_bench.federation.loader import Loader
    from fedgen_bench.federation.preflight import preflight
    from fedgen_bench.registry.datasets import finder
    from fedgen_bench.run.device import pick_device
    from fedgen_bench.run.dry_run import forecast

    loader = Loader(registry, finder(registry, data, fetch=False))
    where = torch.device(pick_device(device))
    preflight(specs, loader)
    if sys.stderr.isatty():
        click.echo(f"Building {len(specs)} cells and timing a step or two of every contender ...", err=True)
    cells = forecast(specs, loader, where)
    head = ("run", "rounds", "local steps", "downlink", "uplink", "training")
    rows = [
        (c.run, str(c.n_rounds), f"{c.local_steps:,}", f"{c.down_bytes:,} B", f"{c.up_bytes:,} B", f"{c.seconds:.0f} s")
        for c in cells
    ]
    click.echo(grid(head, rows))
    seconds = sum(c.seconds for c in cells) / jobs
    up = show_bytes(sum(c.up_bytes for c in cells))
    click.echo(
        f"{len(cells)} cells, {up} of uplink, about {seconds / 60:.1f} min of training on {jobs} jobs; "
        "evaluation comes on top"
    )
    return 0
