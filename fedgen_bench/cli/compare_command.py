"""`fedgen-bench compare`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fedgen_bench.cli import completion, options
from fedgen_bench.cli.screen import grid

if TYPE_CHECKING:
    from fedgen_bench.session.session import Session


@click.command("compare")
@options.suite
@options.session(options.runs, options.plugin)
@click.option(
    "--leaderboards",
    "published",
    type=options.PATH,
    default=None,
    metavar="DIR",
    help="Compare what is published in DIR/<suite> instead of what is stored.",
)
@click.argument("first", shell_complete=completion.contenders)
@click.argument("second", shell_complete=completion.contenders)
def command(session: Session, suite: str, published: Path | None, first: str, second: str) -> int:
    """Compare contenders FIRST and SECOND seed by seed, on every metric that both have: SECOND minus FIRST."""
    contrasts = session.compare(suite, first, second, published=published)
    rows = [
        (
            contrast.metric,
            f"{contrast.first:.5g}",
            f"{contrast.second:.5g}",
            f"{contrast.difference:+.4g}",
            "" if math.isnan(contrast.low) else f"{contrast.low:+.4g} to {contrast.high:+.4g}",
            str(contrast.n_seeds),
        )
        for contrast in contrasts
    ]
    click.echo(grid(("metric", first, second, "difference", "95 % interval (paired t)", "seeds"), rows))
    return 0
