"""`fedgen-bench leaderboard`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from fedgen_bench.cli import options
from fedgen_bench.cli.screen import print_table

if TYPE_CHECKING:
    from fedgen_bench.session.session import Session


@click.command("leaderboard")
@options.suite
@options.session(options.runs, options.leaderboards, options.plugin)
@click.option("--check", is_flag=True, help="Only check that the published files are what the published results give.")
@click.option(
    "--from-results",
    is_flag=True,
    help="Write a published folder's tables again from its own results, without a store.",
)
@click.option("--replace", is_flag=True, help="Replace a folder that holds results which the store lacks.")
def command(session: Session, suite: str, *, check: bool, from_results: bool, replace: bool) -> int:
    """Write a leaderboard from stored results, or check a published one (exit code 1 when a file differs)."""
    folder = session.folder(suite)
    if check:
        different = session.check_leaderboard(suite)
        for name in different:
            click.echo(f"{folder / name} is not what the published results give.", err=True)
        if not different:
            click.echo(f"{folder}: every file is what the published results give.")
        return 1 if different else 0
    if from_results:
        session.remake_leaderboard(suite)
        click.echo(f"Written again: {folder}", err=True)
        return 0
    print_table(session.leaderboard(suite, replace=replace).table)
    click.echo(f"Written to {folder.resolve()}", err=True)
    return 0
