"""`fedgen-bench show`."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import click

from fedgen_bench.cli import completion, options
from fedgen_bench.cli.catalogue import describe


@click.command("show")
@click.argument("name", shell_complete=completion.anything)
@options.plugin
def command(name: str, plugins: tuple[Path, ...]) -> int:
    """Show a component with its documentation, or a suite's text, by NAME (or KIND/NAME)."""
    registry = options.open_registry(plugins)
    for where, found in registry.find(name):
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
