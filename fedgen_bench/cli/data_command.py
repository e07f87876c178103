"""`fedgen-bench data`."""

from __future__ import annotations

from pathlib import Path

import click

from fedgen_bench.base.errors import DataError, UsageError, unknown
from fedgen_bench.cli import completion, options
from fedgen_bench.cli.screen import print_grid
from fedgen_bench.contract.datasets import DatasetSpec
from fedgen_bench.registry.datasets import (
    check,
    download,
    finder,
    known_backbones,
    known_datasets,
    locate,
    places,
)

_SHOWN_DIGITS = 8


@click.group("data", invoke_without_command=True)
@options.many(options.data, options.plugin)
@click.pass_context
def command(ctx: click.Context, data: Path | None, plugins: tuple[Path, ...]) -> int:
    """List data sets: where each one is, and whether its hashes are right."""
    if ctx.invoked_subcommand is not None:
        return 0
    registry = options.open_registry(plugins)
    rows = []
    for name, dataset in known_datasets(registry).items():
        found = locate(dataset, places(registry, data))
        if found is None:
            rows.append((name, "missing (optional)" if dataset.optional else "missing", "", dataset.summary))
            continue
        rows.append((name, _state(dataset, found[1]), f"{found[1]} ({found[0]})", dataset.summary))
    print_grid(("name", "state", "where", "what"), rows)
    return 0


def _state(dataset: DatasetSpec, found: Path) -> str:
    """Whether the hashes are right; where several versions are accepted, which one it is."""
    try:
        check(dataset, found)
    except DataError:
        return "wrong hash"
    if all(dataset.sha256.values()):
        return "ok"
    return f"ok (unpinned: {', '.join(sha256[:_SHOWN_DIGITS] for sha256 in dataset.hashes(found).values())})"


@command.command("fetch")
@click.argument("name", shell_complete=completion.fetchable)
@options.plugin
@click.pass_context
def fetch(ctx: click.Context, name: str, plugins: tuple[Path, ...]) -> int:
    """Download data set NAME into the cache and check its hashes; of a backbone, also make its folder there."""
    of_group = ctx.parent.params["plugins"] if ctx.parent else ()
    registry = options.open_registry((*of_group, *plugins))
    known, backbones = known_datasets(registry), known_backbones(registry)
    if name not in known and name not in backbones:
        raise UsageError(unknown("data set or backbone", name, (*known, *backbones)))
    for one in (name,) if name in known else backbones[name].made_from:
        click.echo(f"{one}: {known[one].summary} Licence: {known[one].licence}", err=True)
        where = download(known[one])
    if name not in known:
        click.echo(f"{name}: {backbones[name].summary}", err=True)
        where = finder(registry)(name)
    click.echo(str(where))
    return 0
