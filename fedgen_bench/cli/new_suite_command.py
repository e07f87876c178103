"""`fedgen-bench new-suite`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from fedgen_bench.base.safe_text import printable
from fedgen_bench.cli import completion, options


@click.command("new-suite")
@click.argument("name")
@click.option(
    "--like",
    default=None,
    metavar="NAME|FILE",
    help="A suite to begin from.  [default: a small one on the text files of a folder `texts`]",
    shell_complete=completion.suites,
)
@click.option(
    "--out", type=options.PATH, default=None, metavar="FILE", help="File to write; must be new.  [default: NAME.toml]"
)
@options.plugin
def command(name: str, like: str | None, out: Path | None, plugins: tuple[Path, ...]) -> int:
    """Write a suite called NAME in which every table and key has a comment; it can be run as it is.

    Keys that stand behind `#` are left out and have this default. Beside it goes `suite.schema.json`, for editors
    (see `schema`), unless it is there.
    """
    registry = options.open_registry(plugins)
    from fedgen_bench.suite.new_suite import new_suite, write_new

    file = out or Path(f"{name}.toml")
    written = write_new(file, new_suite(name, registry, like), registry)
    for path in written:
        click.echo(printable(str(path)))
    place = shlex.quote(str(file))
    click.echo(
        printable(f"Next: edit it, then `fedgen-bench check {place}` and `fedgen-bench run --suite {place}`"),
        err=True,
    )
    return 0
