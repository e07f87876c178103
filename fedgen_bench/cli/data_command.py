"""`fedgen-bench data`."""

from __future__ import annotations

from pathlib import Path

import click

from fedgen_bench.cli import options
from fedgen_bench.cli.screen import grid
from fedgen_bench.data.catalog import DATASETS, check, download, locate
from fedgen_bench.errors import DataError, UsageError, unknown


@click.group("data", invoke_without_command=True)
@options.data
@click.pass_context
def command(ctx: click.Context, data: Path | None) -> int:
    """List data sets: where each one is, and whether its hashes are right."""
    if ctx.invoked_subcommand is not None:
        return 0
    rows = []
    for name, dataset in sorted(DATASETS.items()):
        found = locate(dataset, data)
        if found is None:
            rows.append((name, "missing", "", dataset.summary))
            continue
        try:
            check(dataset, found[1])
            state = "ok"
        except DataError:
            state = "wrong hash"
        rows.append((name, state, f"{found[1]} ({found[0]})", dataset.summary))
    click.echo(grid(("name", "state", "where", "what"), rows))
    return 0


@command.command("fetch")
@click.argument("name")
def fetch(name: str) -> int:
    """Download data set NAME into the cache and check its hashes."""
    if name not in DATASETS:
        raise UsageError(unknown("data set", name, DATASETS))
    dataset = DATASETS[name]
    click.echo(f"{name}: {dataset.summary} Terms: {dataset.terms}", err=True)
    click.echo(str(download(dataset)))
    return 0
