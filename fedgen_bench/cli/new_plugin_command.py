"""`fedgen-bench new-plugin`."""

from __future__ import annotations

from pathlib import Path

import click

from fedgen_bench.cli import options
from fedgen_bench.scaffold import KINDS, module_name, render, write


@click.command("new-plugin")
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), required=True, help="What the package holds an example of.")
@click.option(
    "--folder",
    type=options.PATH,
    default=None,
    metavar="DIR",
    help="Folder to write; must be new or empty.  [default: NAME]",
)
def command(name: str, kind: str, folder: Path | None) -> int:
    """Write a package with a component called NAME: a worked example with its tests, which installs, passes and ranks.

    Its README holds the three commands from there to a row in a table.
    """
    registry = options.open_registry()
    texts = render(name, kind, module_name(name, kind, registry))
    folder = folder or Path(name)
    write(folder, texts)
    for path in texts:
        click.echo(str(folder / path))
    click.echo(f"Next: see {folder / 'README.md'}", err=True)
    return 0
