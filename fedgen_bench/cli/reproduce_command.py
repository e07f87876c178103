"""`fedgen-bench reproduce`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fedgen_bench.base.safe_text import one_line
from fedgen_bench.cli import options
from fedgen_bench.cli.progress import Progress
from fedgen_bench.cli.screen import grid
from fedgen_bench.cli.side_by_side import HEAD, rows_of, sentences

if TYPE_CHECKING:
    from fedgen_bench.session.session import Session


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
@options.session(options.data, options.files, options.device, options.plugin, options.jobs)
@click.option(
    "--out",
    type=options.PATH,
    default=None,
    metavar="DIR",
    help="Folder for the reruns' store and reproduction.json.  [default: reproduction/<suite>]",
)
def command(session: Session, folder: Path, **asked: Any) -> int:
    """Run cells of a published FOLDER again from its record alone, and compare.

    The published environment against the one here decides how closely a cell has to agree: exact, band or statistical.
    The folder is only read. The same command resumes. Exit codes: 0 all cells reproduced, 1 some not, 2 wrong usage,
    130 interrupted.
    """
    with Progress() as progress:
        reproduction = session.reproduce(folder, **asked, on_plan=progress.begin, on_event=progress.note)
    click.echo(grid(HEAD, [row for cell in reproduction.cells for row in rows_of(cell)]))
    for test in reproduction.tests:
        click.echo(f"{'holds' if test.passed else 'fails'}: {test.text}")
    for cell in reproduction.cells:
        if cell.status != "done":
            click.echo(f"{cell.name}: {cell.status}: {one_line(cell.reason)}")
    for sentence in sentences(reproduction.cells):
        click.echo(sentence)
    click.echo(f"Written to {reproduction.path}", err=True)
    return 0 if reproduction.reproduced else 1
