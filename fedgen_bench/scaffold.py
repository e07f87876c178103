"""A small installable package with a component of one's own, rendered from `templates/`."""

from __future__ import annotations

import importlib.util
import keyword
import re
import shlex
import sys
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

import fedgen_bench
from fedgen_bench.base.errors import UsageError
from fedgen_bench.base.files import write_atomic
from fedgen_bench.registry.kinds import NAME
from fedgen_bench.suite.contenders import options_for

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Registry

_SHOWS = {
    "partitioner": "shows every contender under it (such results are never ranked)",
    "metric": "adds it to the suite's other metrics (such results are shown, never ranked)",
}


def module_name(name: str, kind: str, registry: Registry) -> str:
    """The module of a new component.

    Raises:
        UsageError: the name breaks a rule, is taken, or its module would hide another one.
    """
    if not NAME.fullmatch(name):
        raise UsageError(f"`{name}` is no component name. Match {NAME.pattern}.")
    module = re.sub(r"[.-]", "_", name)
    if not module.isidentifier() or keyword.iskeyword(module):
        raise UsageError(
            f"`{name}` gives no module name (`{module}`). Begin it with a letter and avoid Python's words."
        )
    if name in registry.components[kind]:
        owner = registry.components[kind][name].provenance.distribution
        raise UsageError(f"{kind} `{name}` is there already, from {owner}. Choose another name.")
    if module in sys.stdlib_module_names or importlib.util.find_spec(module) is not None:
        raise UsageError(f"A module `{module}` is there already, which yours would hide. Choose another name.")
    return module


def render(name: str, kind: str, module: str) -> dict[str, str]:
    """Every file of the package by its path: project file, module, test, README.

    Raises:
        UsageError: the name gives a class that the example uses otherwise.
    """
    words = [word for word in re.split(r"[^a-z0-9]+", name) if word]
    class_name = "".join(word.capitalize() for word in words)
    folder = files("fedgen_bench") / "templates"
    if re.search(rf"\b{class_name}\b", (folder / f"{kind}.py.txt").read_text(encoding="utf-8") + " None True False"):
        raise UsageError(f"`{name}` gives the class `{class_name}`, which is taken. Choose another name.")
    values: Mapping[str, str] = {
        "name": name,
        "kind": kind,
        "module": module,
        "distribution": "-".join(words),
        "class_name": class_name,
        "title": " ".join(words).capitalize(),
        "version": fedgen_bench.__version__,
        "options": shlex.join(options_for(kind, name)),
        "shows": _SHOWS.get(kind, "ranks it next to the suite's own contenders"),
    }
    targets = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        f"{module}.py": f"{kind}.py",
        f"tests/test_{module}.py": "test.py",
    }
    return {
        path: Template((folder / f"{source}.txt").read_text(encoding="utf-8")).substitute(values)
        for path, source in targets.items()
    }


def write(folder: Path, texts: Mapping[str, str]) -> None:
    """Write a package.

    Raises:
        UsageError: the folder exists and holds something.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there already and nothing is overwritten. Name another with `--folder`.")
    for path, text in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / path, text.encode())
