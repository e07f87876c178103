"""`fedgen-bench claims`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from fedgen_bench.cli import options
from fedgen_bench.cli.screen import grid

if TYPE_CHECKING:
    from fedgen_bench.session.session import Session


@click.command("claims")
@options.suite
@options.session(options.leaderboards, options.plugin)
@click.option("--check", is_flag=True, help="Only check that the published page is what the published results give.")
def command(session: Session, suite: str, *, check: bool) -> int:
    """Judge the claims about a suite's reference from published results; write claims.md with charts and their data.

    Reads the suite's published folder and those of its ablations (suites with a [sweep] of it). With --check the exit
    code is 1 when the page or a chart's data differ.
    """
    if check:
        return _checked(session, suite)
    verdicts = session.claims(suite)
    rows = [(number, found.title, found.verdict) for number, found in verdicts.findings.items()]
    click.echo(grid(("", "claim", "verdict"), rows))
    click.echo(f"Written to {verdicts.path}", err=True)
    if verdicts.undrawn:
        names = ", ".join(verdicts.undrawn)
        click.echo(f"Not drawn: {names}. `pip install matplotlib`, and call this again, to have them.", err=True)
    return 0


def _checked(session: Session, suite: str) -> int:
    folder = session.folder(suite).resolve()
    different = session.check_claims(suite)
    for name in different:
        click.echo(f"{folder / name} is not what the published results give.", err=True)
    if not different:
        click.echo(f"{folder}: the claims are what the published results give.")
    return 1 if different else 0
