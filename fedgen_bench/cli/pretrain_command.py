"""`fedgen-bench pretrain`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fedgen_bench.base.errors import UsageError, unknown
from fedgen_bench.cli import completion, options

if TYPE_CHECKING:
    from fedgen_bench.contract.backbones import BackboneSpec
    from fedgen_bench.registry.registry import Registry


@click.command("pretrain")
@click.argument("name", required=False, shell_complete=completion.backbones)
@click.option(
    "--recipe",
    type=options.PATH,
    default=None,
    metavar="FILE",
    help="Recipe to follow.  [default: the backbone's own]",
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
@options.plugin
def command(name: str | None, recipe: Path | None, data: Path, work: Path, plugins: tuple[Path, ...]) -> int:
    """Train the backbone NAME from its recipe, or from another one; the same command resumes.

    Without NAME the backbone is the one that the recipe's `name` says. Prints the folder with the result, below WORK.
    """
    backbone = _chosen(options.open_registry(plugins), name, recipe)
    assert backbone.pretrain is not None
    assert backbone.recipe is not None
    folder = backbone.pretrain(recipe or backbone.recipe, data, work, lambda text: click.echo(text, err=True))
    click.echo(str(folder))
    return 0


def _chosen(registry: Registry, name: str | None, recipe: Path | None) -> BackboneSpec:
    """The backbone to train. Raises UsageError when it is none that can be trained again."""
    able: dict[str, BackboneSpec] = {
        name: one.spec for name, one in registry.components["backbone"].items() if one.spec.recipe is not None
    }
    wanted = name if recipe is None or name is not None else _name_in(recipe)
    if wanted is None:
        raise UsageError(f"Name the backbone to train: {', '.join(sorted(able))}.")
    if wanted not in able:
        own = " A recipe of your own needs the name of the backbone that it trains anew: `pretrain NAME --recipe FILE`."
        raise UsageError(unknown("backbone with a recipe", wanted, able) + ("" if name else own))
    return able[wanted]


def _name_in(recipe: Path) -> str | None:
    import tomllib

    try:
        found = tomllib.loads(recipe.read_text(encoding="utf-8-sig")).get("name")
    except (OSError, ValueError) as error:
        raise UsageError(f"Recipe {recipe} cannot be read: {error}. Name a TOML file with `--recipe`.") from error
    return None if found is None else str(found)
