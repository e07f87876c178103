"""`fedgen-bench show`."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import click

from fedgen_bench.cli import options
from fedgen_bench.cli.catalogue import describe
from fedgen_bench.errors import UsageError, unknown
from fedgen_bench.plugins import KINDS


@click.command("show")
@click.argument("name")
@options.plugin
def command(name: str, plugin_files: tuple[Path, ...]) -> int:
    """Show a component with its documentation, or a suite's text, by NAME (or KIND/NAME)."""
    registry = options.open_registry(plugin_files)
    kind, _, short = name.rpartition("/")
    if kind and kind not in KINDS:
        raise UsageError(unknown("kind", kind, KINDS))
    hits = [
        (one, registry.components[one][short])
        for one in ([kind] if kind else KINDS)
        if short in registry.components[one]
    ]
    if not hits:
        raise UsageError(unknown("component", short, {known for one in KINDS for known in registry.components[one]}))
    for where, found in hits:
        if where == "suite":
            click.echo(found.spec.text)
            continue
        record = describe(where, found)
        click.echo(
            f"{where} {record['name']} (version {record['version']}, from {record['distribution']} "
            f"{record['distribution_version']})"
        )
        click.echo(record["summary"])
        for text in filter(
            None, (inspect.getdoc(found.spec.build), inspect.getdoc(found.spec.params) if record["params"] else None)
        ):
            click.echo(f"\n{text}")
        for key, value in record["params"].items():
            click.echo(f"  {key} = {json.dumps(value)}")
    return 0
