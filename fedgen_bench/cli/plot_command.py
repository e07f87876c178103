"""`fedgen-bench plot`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fedgen_bench.base.errors import UsageError
from fedgen_bench.cli import options
from fedgen_bench.session.plots import SUFFIXES

if TYPE_CHECKING:
    from fedgen_bench.session.session import Session


@click.command("plot")
@click.argument("path", type=options.PATH)
@click.option(
    "--out", type=options.PATH, default=None, metavar="DIR", help="Folder to draw into, instead of PATH itself."
)
@click.option(
    "--format",
    "suffix",
    type=click.Choice([one.removeprefix(".") for one in SUFFIXES]),
    default="svg",
    show_default=True,
    help="With `--out`: of the files.",
)
@options.session(options.plugin)
def command(session: Session, path: Path, out: Path | None, suffix: str) -> int:
    """Draw the plots of a published folder PATH again, from its results alone.

    Without `--out` they take the place of the folder's own, and its SHA256SUMS is renewed.
    """
    if out is None and suffix != "svg":
        raise UsageError(f"A published folder holds no plots as {suffix}. Name another one with `--out`.")
    for file in session.draw(path, out, suffix):
        click.echo(str(file))
    return 0
