"""`fedgen-bench site`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from fedgen_bench.cli import options


@click.command("site")
@options.leaderboards
@click.option(
    "--out", type=options.PATH, default=Path("site"), show_default=True, metavar="DIR", help="Folder of the site."
)
@options.plugin
@click.option("--check", is_flag=True, help="Only check that the site is what the published folders give.")
def command(leaderboards: Path, out: Path, plugins: Sequence[Path], *, check: bool) -> int:
    """Write a static site of all published folders: tables, drawings, runs, claims and files to download.

    Open index.html in a browser: pages ask no other host for anything and work from a folder. With --check the exit
    code is 1 when a file differs.
    """
    from fedgen_bench.site.building import FIRST, outdated, site_files, write_site

    made = site_files(leaderboards, options.open_registry(plugins))
    if not check:
        write_site(out, made)
        click.echo(f"Written: {out / FIRST}", err=True)
        return 0
    different = outdated(out, made)
    for name in different:
        click.echo(f"{out / name} is not what the published folders give.", err=True)
    if not different:
        click.echo(f"{out}: every page is what the published folders give.")
    return 1 if different else 0
