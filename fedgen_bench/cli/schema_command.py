"""`fedgen-bench schema`."""

from __future__ import annotations

from pathlib import Path

import click

from fedgen_bench.cli import options


@click.command("schema")
@options.plugin
def command(plugins: tuple[Path, ...]) -> int:
    """Print the JSON Schema of a suite, with every registered component and its parameters, for editors.

    `new-suite` writes it beside the suite. An editor with a TOML extension (Even Better TOML, Taplo) that finds
    `#:schema ./suite.schema.json` in a suite's first line completes and checks keys as they are written.
    """
    registry = options.open_registry(plugins)
    from fedgen_bench.suite.json_schema import schema_text

    click.echo(schema_text(registry), nl=False)
    return 0
