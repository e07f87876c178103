"""`fedgen-bench list`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from fedgen_bench.base.errors import UsageError, unknown
from fedgen_bench.base.safe_text import one_line
from fedgen_bench.cli import completion, options
from fedgen_bench.cli.catalogue import catalogue
from fedgen_bench.cli.screen import print_grid
from fedgen_bench.registry.kinds import KINDS
from fedgen_bench.registry.plugins import load_registry


@click.command("list")
@click.argument("kind", required=False, shell_complete=completion.kinds)
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@options.plugin
def command(kind: str | None, as_json: bool, plugins: tuple[Path, ...]) -> int:  # noqa: FBT001 - click passes flags so
    """List components of KIND (or all): parameters with defaults, version and distribution; and what failed to load."""
    if kind is not None and kind not in KINDS:
        raise UsageError(unknown("kind", kind, KINDS))
    registry = load_registry(plugins)
    records = catalogue(registry, (kind,) if kind else tuple(KINDS))
    if as_json:
        failures = [{"plugin": one.plugin, "reason": one.reason} for one in registry.failures]
        click.echo(json.dumps({"components": records, "failures": failures}, indent=1))
        return 0
    rows = [
        (
            one["kind"],
            one["name"],
            one["version"],
            f"{one['distribution']} {one['distribution_version']}".strip(),
            one["summary"],
            params_text(one["params"]),
        )
        for one in records
    ]
    print_grid(("kind", "name", "version", "from", "summary", "parameters"), rows)
    for failure in registry.failures:
        click.echo(f"Not loaded: {one_line(failure.plugin)}: {one_line(failure.reason)}", err=True)
    return 0


def params_text(params: dict[str, object]) -> str:
    """`name=default` of every parameter."""
    return " ".join(f"{name}={json.dumps(value)}" for name, value in params.items())
