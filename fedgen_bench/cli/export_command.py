"""`fedgen-bench export`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from fedgen_bench.base.safe_text import printable
from fedgen_bench.cli import completion, options

if TYPE_CHECKING:
    from fedgen_bench.session.session import Session

_LINE_END = "\n"


@click.command("export")
@click.argument("suite", shell_complete=completion.suites)
@click.argument("contender", shell_complete=completion.contenders)
@click.option(
    "--seed",
    type=int,
    default=None,
    metavar="N",
    shell_complete=completion.seeds,
    help="Seed of the run.  [default: the first of the suite's that has finished]",
)
@click.option("--client", type=int, default=None, metavar="ID", help="This client's model in place of everybody's.")
@click.option("--merge", is_flag=True, help="The whole model, with the adapter merged into it.")
@click.option(
    "--benchmark",
    default=None,
    metavar="OWNER/NAME",
    help="Data set of the hub that keeps SUITE's leaderboard: its result is written as .eval_results/SUITE.yaml.",
)
@options.overrides
@options.session(options.runs, options.data, options.files, options.device, options.plugin)
@click.option("--out", type=options.PATH, required=True, metavar="DIR", help="New folder to write to.")
def command(session: Session, suite: str, contender: str, **asked: Any) -> int:
    """Write what CONTENDER's finished run in SUITE has trained: an adapter for peft or diffusers, or a whole model.

    `README.md` beside it says how it is loaded, what it scored, and where it came from.
    """
    made = session.export(suite, contender, **asked)
    if asked["seed"] is None and len(made.seeds) > 1:
        others = ", ".join(map(str, made.seeds))
        click.echo(f"Seed {made.seed} of {others}; `--seed` chooses another.", err=True)
    click.echo(printable(made.code, keep=_LINE_END))
    click.echo(printable(f"Written to {made.folder}"), err=True)
    return 0
