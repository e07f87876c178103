"""Where a backbone of some name is: shipped with the wheel, generated at first use, registered, a folder, the hub."""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from fedgen_bench import DataError, UsageError, cache_root
from fedgen_bench_plugins.backbones.folders import chosen_within
from fedgen_bench_plugins.backbones.options import AS_IT_IS, Loading

if TYPE_CHECKING:
    from torch import nn

SHIPPED = {name: Path(__file__).parent / name.replace("-", "_") for name in ("mini-lm", "mini-unet", "mini-unet-semi")}
GENERATED = ("tiny-wire-lm", "tiny-shapes-unet")  # each by a module of its name, which has `make` and `recipe_digest`
_HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?", re.ASCII)  # owner/name, or the name alone
PACKAGED = ("smollm2-135m",)
LANGUAGE_MODELS = ("mini-lm", "tiny-wire-lm", *PACKAGED)
UNETS = ("mini-unet", "mini-unet-semi", "tiny-shapes-unet")


def locate(name: str, find: Callable[[str | Path], Path] | None = None) -> Path | str:
    """The folder of a backbone, which is made first if need be; `name` itself when it is for the hub to know.

    Registered backbones are those that `find` knows by name, and a path leads where it says; without it, from the
    working folder. A leading `~` is the home folder.

    Raises:
        DataError: `name` can only be a folder and is none, or a backbone cannot be made or stored.
    """
    if name in GENERATED:
        return generated(name)
    if name in SHIPPED:
        return shipped(name)
    if find is not None and (registered := _registered(name, find)) is not None:
        return registered
    path = Path(os.path.expanduser(name))  # noqa: PTH111 - pathlib raises where there is no such home
    folder = path if find is None else find(path)
    if name and folder.is_dir():
        return folder
    if folder.is_file():
        raise DataError(f"Backbone `{name}` is a file. Give the folder that holds it.")
    if not _HUB_NAME.fullmatch(name):
        raise DataError(f"There is no folder `{folder if name else name}` for a backbone. Give one that exists.")
    return name


def _registered(name: str, find: Callable[[str | Path], Path]) -> Path | None:
    """What `find` gives for a backbone of this name; None when it knows none."""
    try:
        return find(name)
    except UsageError:
        return None


def folders_of(name: str, find: Callable[[str | Path], Path], loading: Loading = AS_IT_IS) -> dict[str, Path]:
    """A backbone's folder for `TaskFactory.files` of a task with a parameter `backbone`; none when it is the hub's."""
    where = chosen_within(name, locate(name, find), loading)
    if not isinstance(where, Path):
        return {}
    named = name in (*SHIPPED, *GENERATED) or _registered(name, find) is not None
    return {f"backbone {name}" if named else "backbone": where}


def shipped(name: str) -> Path:
    """The folder of a backbone that comes with the package."""
    return SHIPPED[name]


def generated(name: str) -> Path:
    """The cached folder of a generated backbone, made at first use; one process makes it, others wait."""
    recipe = importlib.import_module(f"fedgen_bench_plugins.backbones.{name.replace('-', '_')}")
    return made_once(f"{name}-{recipe.recipe_digest()}", recipe.make)


def made_once(name: str, make: Callable[[Path], None]) -> Path:
    """The cached folder of this name, which `make` is given to fill at first use; one process does, others wait.

    Raises:
        DataError: it cannot be stored.
    """
    from filelock import FileLock

    folder = cache_root() / "backbones" / name
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / f"{folder.name}.lock"):
            if not folder.exists():
                with tempfile.TemporaryDirectory(dir=folder.parent) as work:
                    made = Path(work) / "made"
                    make(made)
                    shutil.move(made, folder)
    except OSError as error:
        raise DataError(
            f"The backbone cannot be cached in {folder.parent}: {error}. Set FEDGEN_CACHE to a writable folder."
        ) from error
    return folder


def weights_sha256(module: nn.Module) -> str:
    """Hash of all weights by name."""
    import torch

    total = hashlib.sha256()
    for key, tensor in sorted(module.state_dict().items()):
        total.update(key.encode())
        total.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()
