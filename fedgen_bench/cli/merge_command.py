"""`fedgen-bench merge`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fedgen_bench.base.safe_text import one_line
from fedgen_bench.cli import options
from fedgen_bench.cli.side_by_side import sentences

if TYPE_CHECKING:
    from fedgen_bench.session.session import Session


@click.command("merge")
@click.argument("path", type=options.PATH)
@options.session(options.leaderboards, options.plugin)
@click.option(
    "--contender", "contenders", multiple=True, metavar="NAME", help="Add only this row of PATH (repeatable)."
)
@click.option("--check", is_flag=True, help="Only say whether the rows can be added.")
def command(session: Session, path: Path, contenders: tuple[str, ...], *, check: bool) -> int:
    """Add rows of the folder PATH, as another machine published it, to the published folder of their suite.

    PATH must be free of problems (see `validate`; other rows may be missing), and cells that both folders hold must
    agree as closely as `reproduce` asks. Nothing of PATH is executed. What is published already does not change.
    """
    merged = session.merge(path, contenders=contenders, write=not check)
    folder, found = merged.folder, merged.rows
    for text in sentences(found.shared):
        click.echo(one_line(text))
    rows = dict.fromkeys(one.contender for one in found.added)
    for name in rows:
        seeds = ", ".join(str(one.seed) for one in found.added if one.contender == name)
        click.echo(f"{name}: seeds {seeds}")
    click.echo(f"{'Can be added' if check else 'Added'} to {folder}: {len(rows)} row{'' if len(rows) == 1 else 's'}.")
    if not check and (folder / "claims.md").exists():
        click.echo(f"Its claims are judged again by `fedgen-bench claims --suite {folder.name}`.", err=True)
    return 0
