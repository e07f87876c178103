"""Where a backbone of some name is: shipped with the wheel, generated at first use, a local folder, or the hub."""

from __future__ import annotations

import fcntl
import hashlib
import importlib
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from fedgen_bench import DataError, cache_root

if TYPE_CHECKING:
    from torch import nn

SHIPPED = {name: Path(__file__).parent / name.replace("-", "_") for name in ("mini-lm", "mini-unet")}
GENERATED = ("tiny-wire-lm", "tiny-shapes-unet")  # each by a module of its name, which has `make` and `recipe_digest`
_HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?", re.ASCII)  # owner/name, or the name alone
LANGUAGE_MODELS = ("mini-lm", "tiny-wire-lm")
UNETS = ("mini-unet", "tiny-shapes-unet")


def locate(name: str) -> Path | str:
    """The folder of a backbone, which is made first if need be; `name` itself when it is for the hub to know.

    A leading `~` is the home folder.

    Raises:
        DataError: `name` can only be a folder and is none, or a generated backbone cannot be stored.
    """
    if name in GENERATED:
        return generated(name)
    if name in SHIPPED:
        return shipped(name)
    folder = Path(name).expanduser() if _has_home(name) else Path(name)
    if name and folder.is_dir():
        return folder
    if folder.is_file():
        raise DataError(f"Backbone `{name}` is a file. Give the folder that holds it.")
    if not _HUB_NAME.fullmatch(name):
        raise DataError(f"There is no folder `{folder if name else name}` for a backbone. Give one that exists.")
    return name


def _has_home(name: str) -> bool:
    """Whether a path begins with a home folder that is known."""
    return os.path.expanduser(name) != name  # noqa: PTH111 - pathlib raises where there is no such home


def folders_of(name: str) -> dict[str, Path]:
    """A backbone's folder for `TaskFactory.files` of a task with a parameter `backbone`; none when it is the hub's."""
    where = locate(name)
    if not isinstance(where, Path):
        return {}
    return {f"backbone {name}" if name in (*SHIPPED, *GENERATED) else "backbone": where}


def shipped(name: str) -> Path:
    """The folder of a backbone that comes with the package."""
    return SHIPPED[name]


def generated(name: str) -> Path:
    """The cached folder of a generated backbone, made at first use; one process makes it, others wait."""
    recipe = importlib.import_module(f"fedgen_bench_plugins.backbones.{name.replace('-', '_')}")
    folder = cache_root() / "backbones" / f"{name}-{recipe.recipe_digest()}"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (folder.parent / f"{folder.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                with tempfile.TemporaryDirectory(dir=folder.parent) as work:
                    made = Path(work) / "made"
                    recipe.make(made)
                    shutil.move(made, folder)
    except OSError as error:
        raise DataError(
            f"The generated backbone cannot be cached in {folder.parent}: {error}. Set FEDGEN_CACHE to a writable "
            "folder."
        ) from error
    return folder


def weights_sha256(module: nn.Module) -> str:
    """Hash of all weights by name."""
    total = hashlib.sha256()
    for key, tensor in sorted(module.state_dict().items()):
        total.update(key.encode())
        total.update(tensor.contiguous().numpy().tobytes())
    return total.hexdigest()
