"""`fedgen-bench pretrain`."""

from __future__ import annotations

from pathlib import Path

import click

from fedgen_bench.cli import options


@click.command("pretrain")
@click.option(
    "--recipe",
    type=options.PATH,
    default=None,
    metavar="FILE",
    help="Recipe to follow.  [default: the shipped mini-lm's]",
)
@click.option(
    "--data",
    type=options.PATH,
    required=True,
    metavar="DIR",
    help="Folder with the recipe's texts or images.",
)
@click.option(
    "--work",
    type=options.PATH,
    required=True,
    metavar="DIR",
    help="Folder for checkpoints and the result.",
)
def command(recipe: Path | None, data: Path, work: Path) -> int:
    """Train a backbone or an extractor from its recipe; the same command resumes.

    Prints the folder with the result, below WORK.
    """
    from fedgen_bench.backbones.pretrain import pretrain
    from fedgen_bench.backbones.shipped import SHIPPED

    folder = pretrain(recipe or SHIPPED["mini-lm"] / "recipe.toml", data, work, lambda text: click.echo(text, err=True))
    click.echo(str(folder))
    return 0
