"""`fedgen-bench tune`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from fedgen_bench.cli import options
from fedgen_bench.cli.progress import Progress

if TYPE_CHECKING:
    from fedgen_bench.session.session import Session


@click.command("tune")
@options.many(options.suite, options.contender)
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
def command(session: Session, suite: str, contenders: tuple[str, ...]) -> int:
    """Run a suite's tuning grid: the same number of trials for every contender, the tuning seed, validation data only.

    Writes `leaderboards/<suite>/tuning.csv` and, where ways of personalisation are tuned (on slices of clients'
    training parts), `personalization.csv`; the suite's values are chosen from them by hand and a test holds them to it.
    """
    with Progress() as progress:
        tuning = session.tune(suite, contenders=contenders, on_plan=progress.begin, on_event=progress.note)
    for text in tuning.tables.values():
        click.echo(text, nl=False)
    return 0
