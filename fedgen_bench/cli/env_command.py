"""`fedgen-bench env`."""

from __future__ import annotations

import json

import click

from fedgen_bench.cli import options


@click.command("env")
@options.device
def command(device: str) -> int:
    """Show the environment that results would record, as JSON."""
    from fedgen_bench.base.cache import cache_root
    from fedgen_bench.session.session import Session

    found = {**Session(device=device).environment, "cache": str(cache_root())}
    click.echo(json.dumps(found, indent=1, sort_keys=True))
    return 0
