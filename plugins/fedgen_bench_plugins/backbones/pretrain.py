"""Pretraining by recipe: a TOML file says what is trained, its first table of a known name says how."""

from __future__ import annotations

import importlib
import tomllib
from collections.abc import Callable
from pathlib import Path

from fedgen_bench import UsageError

Say = Callable[[str], None]
TRAINERS = {"text": "pretrain_lm", "unet": "pretrain_unet", "classifier": "pretrain_cifarnet"}


def pretrain(recipe: Path, data: Path, workdir: Path, say: Say) -> Path:
    """Run or resume a recipe in `workdir`; return the folder with the finished weights.

    Raises:
        UsageError: the recipe cannot be read, or is for nothing that is known.
        DataError: the data are not there or not those of the recipe.
    """
    try:
        table = tomllib.loads(recipe.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise UsageError(f"Recipe {recipe} cannot be read: {error}. Name a TOML file with `--recipe`.") from error
    kind = next((one for one in TRAINERS if one in table), None)
    if kind is None:
        known = ", ".join(f"[{one}]" for one in TRAINERS)
        raise UsageError(f"Recipe {recipe} has none of the tables {known}. Add the one for what it trains.")
    trainer = importlib.import_module(f"fedgen_bench_plugins.backbones.{TRAINERS[kind]}")
    folder: Path = trainer.pretrain(recipe, data, workdir, say)
    return folder
