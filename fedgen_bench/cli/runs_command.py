"""`fedgen-bench runs`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from fedgen_bench.base.digits import show_bytes
from fedgen_bench.base.errors import UsageError
from fedgen_bench.cli import completion, options
from fedgen_bench.cli.screen import print_grid

if TYPE_CHECKING:
    from fedgen_bench.results.stock import StockedRun
    from fedgen_bench.session.session import Session
    from fedgen_bench.session.stock import Stock

_STATUSES = ("done", "diverged", "failed", "running")


@click.command("runs")
@options.session(options.runs)
@click.option("--suite", default=None, metavar="NAME", help="Only of this suite.", shell_complete=completion.suites)
@options.contender
@options.seed
@click.option(
    "--status",
    "statuses",
    multiple=True,
    type=click.Choice(_STATUSES),
    help="Only of this status (repeatable); `running` was cut off, or runs now.",
)
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@click.option("--remove", is_flag=True, help="Remove the runs that these options choose, with all their files.")
@click.option("--prune", is_flag=True, help="Remove runs in whose place tables show a later one, and files of no run.")
@click.option("--yes", is_flag=True, help="Remove without asking.")
def command(
    session: Session,
    suite: str | None,
    contenders: Sequence[str],
    seeds: Sequence[int],
    statuses: Sequence[str],
    *,
    as_json: bool,
    remove: bool,
    prune: bool,
    yes: bool,
) -> int:
    """List what the results store holds: status, reason, rounds, time and size of every run.

    `--remove` and `--prune` show what would go and ask; where nobody can answer, `--yes` does.
    """
    stock, chosen = session.stock, bool(suite or contenders or seeds or statuses)
    if prune and (remove or chosen):
        raise UsageError("`--prune` chooses by itself. Leave the other options out, or take `--remove`.")
    if remove and not chosen:
        raise UsageError("`--remove` needs to be told which runs: `--suite`, `--contender`, `--seed` or `--status`.")
    if prune:
        return _prune(stock, yes=yes)
    runs = stock.runs(suite, contenders=contenders, seeds=seeds, statuses=statuses)
    if remove:
        return _remove(stock, runs, yes=yes)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in runs], indent=1))
    else:
        _show(runs)
        click.echo(_counted(len(runs), sum(one.size_bytes for one in runs)), err=True)
    return 0


def _show(runs: Sequence[StockedRun]) -> None:
    head = ("suite", "version", "contender", "seed", "status", "rounds", "time", "size", "what else")
    rows = [
        (
            one.suite,
            str(one.suite_version),
            f"{one.contender} ({', '.join(one.off_suite)})" if one.off_suite else one.contender,
            str(one.seed),
            one.status,
            str(one.n_rounds),
            f"{one.seconds:.0f} s",
            show_bytes(one.size_bytes),
            "; ".join(_remarks(one)),
        )
        for one in runs
    ]
    print_grid(head, rows)


def _remarks(run: StockedRun) -> list[str]:
    trial = ["a trial"] if run.purpose == "tune" else []
    superseded = [] if run.shown else ["tables show a later run"]
    return [*trial, *superseded, *([run.reason] if run.reason else [])]


def _remove(stock: Stock, runs: Sequence[StockedRun], *, yes: bool) -> int:
    _show(runs)
    _agreed(_counted(len(runs), sum(one.size_bytes for one in runs)), yes=yes)
    stock.remove(runs)
    click.echo(f"Removed from {stock.folder}.", err=True)
    return 0


def _prune(stock: Stock, *, yes: bool) -> int:
    found = stock.superfluous()
    if not found.runs and not found.folders:
        click.echo(f"{stock.folder} holds nothing that a table could do without.", err=True)
        return 0
    if found.runs:
        _show(found.runs)
    for folder in found.folders:
        click.echo(f"files of no run: {folder}")
    _agreed(_counted(len(found.runs), found.size_bytes), yes=yes)
    stock.remove(found.runs, found.folders)
    click.echo(f"Removed from {stock.folder}.", err=True)
    return 0


def _counted(n_runs: int, size_bytes: int) -> str:
    return f"{n_runs} run{'' if n_runs == 1 else 's'}, {show_bytes(size_bytes)} of files"


def _agreed(what: str, *, yes: bool) -> None:
    """Go on only when it may: with `--yes`, or when somebody says so."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{what}: nothing was removed, for nobody can be asked here. Add `--yes` to remove them.")
    click.confirm(f"{what}. Remove them for good?", abort=True, err=True)
