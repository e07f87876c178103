"""`fedgen-bench run`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from fedgen_bench.base.digits import show, show_bytes, show_in
from fedgen_bench.base.safe_text import one_line, printable
from fedgen_bench.cli import completion, options
from fedgen_bench.cli.progress import Progress, show_notes
from fedgen_bench.cli.screen import grid, print_table
from fedgen_bench.cli.side_by_side import sentences
from fedgen_bench.contract.reports import CODES

if TYPE_CHECKING:
    from pathlib import Path

    from fedgen_bench.contract.reports import Privacy
    from fedgen_bench.run.dry_run import Forecast
    from fedgen_bench.session.answers import Plan
    from fedgen_bench.session.frames import Results
    from fedgen_bench.session.session import Session


@click.command("run")
@options.many(options.suite, options.contender, options.seed, options.tracker)
@options.session(
    options.runs,
    options.leaderboards,
    options.data,
    options.files,
    options.device,
    options.plugin,
    options.engine,
    options.jobs,
    options.address,
    options.cohort,
)
@click.option(
    "--with",
    "added",
    multiple=True,
    metavar="NAME",
    shell_complete=completion.components("strategy", "adapter", "compressor", "mechanism"),
    help="Add a contender: the suite's reference with this strategy, adapter, uplink compressor or privacy mechanism, "
    "by NAME or with parameters as NAME:key=value (repeatable).",
)
@options.overrides
@click.option(
    "--keep-clients",
    is_flag=True,
    help="Keep clients' private states when a run is done, for `export --client`; by default they are removed.",
)
@click.option("--dry-run", is_flag=True, help="Print cells, steps, exact bytes, time, memory and costs, then stop.")
@click.option("-v", "--verbose", is_flag=True, help="Log every round.")
def command(session: Session, suite: str, *, dry_run: bool, verbose: bool, keep_clients: bool, **selection: Any) -> int:
    """Run a suite (or what is left of it) and write its leaderboard.

    What is done is skipped, what was cut off goes on where it stopped. Exit codes: 0 all cells done, 1 some failed,
    2 wrong usage, 130 interrupted. A published folder with results that the store lacks stays as it is: exit code 1,
    or 0 where all of them were run here and agree as `reproduce` asks for.
    """
    if dry_run:
        return _dry_run(session, suite, **selection)
    with Progress() as progress:
        results = session.run(
            suite,
            **selection,
            keep_clients=keep_clients,
            verbose=verbose,
            on_plan=progress.begin,
            on_event=progress.note,
        )
    print_table(results.table)
    for sentence in _where(session.folder(suite), session, results):
        click.echo(printable(sentence), err=True)
    bad = [event for event in results.ended if event.status != "done"]
    for event in bad:
        click.echo(f"{event.run}: {event.status}: {one_line(event.reason)}", err=True)
    return 1 if bad or (results.kept and not results.reproduced) else 0


def _where(folder: Path, session: Session, results: Results) -> Iterator[str]:
    """Where results are and, beside published ones that stayed, how they agree."""
    if results.kept is None:
        yield f"Written to {folder}"
        return
    reproduced = f"{folder} stays as it is: what it holds was published from elsewhere, and is reproduced here."
    yield f"Results are in {session.runs}. {reproduced if results.reproduced else results.kept}"
    yield from sentences(results.published)


def _firsts(cells: Sequence[Forecast]) -> list[Forecast]:
    """Of every contender the cell of the first of its seeds."""
    firsts: dict[str, Forecast] = {}
    for cell in cells:
        firsts.setdefault(cell.contender, cell)
    return list(firsts.values())


def _clock_grid(cells: Sequence[Forecast]) -> str:
    """A row a contender, of the first of its seeds."""
    head = ("contender", "simulated time", *CODES, "partial", "late on")
    rows = [
        (
            one.contender,
            show_in(one.simulated.seconds, "seconds"),
            *(str(one.simulated.missed.get(code, 0)) for code in CODES),
            str(one.simulated.n_partial),
            ", ".join(one.simulated.late_on),
        )
        for one in _firsts(cells)
        if one.simulated is not None
    ]
    return grid(head, rows)


def _costs_grid(cells: Sequence[Forecast]) -> str:
    """A row a contender, of the first of its seeds."""
    head = ("contender", "FLOPs a step", "FLOPs in all", "training memory", "stored", "joining", "energy")
    rows = [
        (
            one.contender,
            show_in(one.costs.step_flops, "FLOPs"),
            show_in(one.training_flops, "FLOPs"),
            show_bytes(one.costs.training_bytes),
            show_bytes(one.costs.stored_bytes),
            show_bytes(one.costs.joining_bytes),
            show_in(None if one.simulated is None else one.simulated.joules, "joules"),
        )
        for one in _firsts(cells)
        if one.costs is not None
    ]
    return grid(head, rows)


def _dry_run(session: Session, suite: str, **selection: Any) -> int:
    plans: list[Plan] = []

    def begin(plan: Plan) -> None:
        plans.append(plan)
        show_notes(plan)
        if sys.stderr.isatty():
            click.echo(f"Building {len(plan.cells)} cells and timing a step or two of every contender ...", err=True)

    cells = session.forecast(suite, **selection, on_plan=begin)
    guaranteed = any(c.privacy for c in cells)
    head = ["run", "rounds", "local steps", "downlink", "uplink", "training", "memory"]
    rows = [
        [
            c.run,
            str(c.n_rounds),
            f"{c.local_steps:,}",
            f"{c.down_bytes:,} B",
            f"{c.up_bytes:,} B",
            f"{c.seconds:.0f} s",
            show_bytes(c.memory_bytes),
            *([_guarantee(c.privacy)] if guaranteed else []),
        ]
        for c in cells
    ]
    click.echo(grid([*head, *(["epsilon at delta"] if guaranteed else [])], rows))
    if any(c.costs is not None for c in cells):
        click.echo(f"\nCosts of training (docs/costs.md):\n{_costs_grid(cells)}\n")
    if any(c.simulated is not None for c in cells):
        click.echo(f"On the suite's devices (docs/devices.md):\n{_clock_grid(cells)}\n")
    seconds = sum(c.seconds for c in cells) / plans[0].jobs
    up = show_bytes(sum(c.up_bytes for c in cells))
    click.echo(
        f"{len(cells)} cells, {up} of uplink, about {seconds / 60:.1f} min of training on {plans[0].jobs} jobs; "
        "evaluation comes on top"
    )
    return 0


def _guarantee(privacy: Privacy | None) -> str:
    return "" if privacy is None else f"{show(privacy.epsilon)} at {privacy.delta:g}"
