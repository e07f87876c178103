"""`fedgen-bench data`."""

from __future__ import annotations

from pathlib import Path

import click

from fedgen_bench.base.errors import DataError, UsageError, unknown
from fedgen_bench.cli import completion, options
from fedgen_bench.cli.screen import print_grid
from fedgen_bench.data.catalog import DATASETS, Dataset, Places, check, download, hashes, locate

_SHOWN_DIGITS = 8


@click.group("data", invoke_without_command=True)
@options.data
@click.pass_context
def command(ctx: click.Context, data: Path | None) -> int:
    """List data sets: where each one is, and whether its hashes are right."""
    if ctx.invoked_subcommand is not None:
        return 0
    rows = []
    for name, dataset in sorted(DATASETS.items()):
        found = locate(dataset, Places(data))
        if found is None:
            rows.append((name, "missing (optional)" if dataset.option else "missing", "", dataset.summary))
            continue
        rows.append((name, _state(dataset, found[1]), f"{found[1]} ({found[0]})", dataset.summary))
    print_grid(("name", "state", "where", "what"), rows)
    return 0


def _state(dataset: Dataset, found: Path) -> str:
    """Whether the hashes are right; where several versions are accepted, which one it is."""
    try:
        check(dataset, found)
    except DataError:
        return "wrong hash"
    if all(dataset.files.values()):
        return "ok"
    return f"ok (unpinned: {', '.join(sha256[:_SHOWN_DIGITS] for sha256 in hashes(dataset.name, found).values())})"


@command.command("fetch")
@click.argument("name", shell_complete=completion.data_sets)
def fetch(name: str) -> int:
    """Download data set NAME into the cache and check its hashes."""
    if name not in DATASETS:
        raise UsageError(unknown("data set", name, DATASETS))
    dataset = DATASETS[name]
    click.echo(f"{name}: {dataset.summary} Terms: {dataset.terms}", err=True)
    click.echo(str(download(dataset)))
    return 0
