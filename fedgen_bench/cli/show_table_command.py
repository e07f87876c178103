"""`fedgen-bench show-table`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fedgen_bench.cli import completion, options
from fedgen_bench.cli.screen import print_table

if TYPE_CHECKING:
    from fedgen_bench.session.session import Session


@click.command("show-table")
@click.argument("path", type=options.PATH)
@click.option(
    "--suite", default=None, metavar="NAME|FILE", help="Of a store: whose table.", shell_complete=completion.suites
)
@options.session(options.plugin)
def command(session: Session, path: Path, suite: str | None) -> int:
    """Show the table of a published folder PATH (or of a results store, with `--suite`). Nothing is written."""
    print_table(session.load(path, suite).table)
    return 0
