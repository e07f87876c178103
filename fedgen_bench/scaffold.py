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

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Registry

KINDS = (
    *("strategy", "adapter", "partitioner", "metric", "compressor"),
    *("task", "suite", "attack", "mechanism", "observer", "table_format", "engine"),
)
_SHOWS = {
    "partitioner": "shows every contender under it (such results are never ranked)",
    "metric": "adds it to the suite's other metrics (such results are shown, never ranked)",
    "attack": "shows every contender with a fifth of its clients hostile (such results are never ranked)",
    "task": "runs the suite that comes with it",
    "suite": "runs it",
    "observer": "has it write down every round and every run",
    "table_format": "writes its file beside the suite's tables",
    "engine": "trains the suite's clients on it, to the same numbers",
}
_VERSION = "Raise `version` in `{}.py` whenever results change: old results are then not mixed with new ones."
_LATER = {
    "suite": "Raise `version` in the suite's text whenever it changes: a published version stays as it is.",
    "observer": "An exception in it becomes a warning: an observer ends no run and changes no result.",
    "table_format": "`leaderboard --check` compares its bytes; `exact=False` in its spec keeps it from that.",
    "engine": "No bit of a result may depend on it: that is what its contract checks compare.",
}


def _command(kind: str, name: str) -> str:
    """What shows a new component at work."""
    from fedgen_bench.suite.contenders import options_for

    if kind in {"task", "suite"}:
        return shlex.join(["fedgen-bench", "run", "--suite", name])
    options = ("--engine", name) if kind == "engine" else options_for(kind, name)
    return shlex.join(["fedgen-bench", "run", "--suite", "quick", *options])


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
    if kind == "observer":
        owners = [one.provenance.distribution for one in registry.observers if one.name == module]
    else:
        owners = [one.provenance.distribution for key, one in registry.components[kind].items() if key == name]
    for owner in owners:
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
        "target": f"observer/{module}" if kind == "observer" else f"{kind}/{name}",
        "command": _command(kind, name),
        "shows": _SHOWS.get(kind, "ranks it next to the suite's own contenders"),
        "later": _LATER.get(kind, _VERSION.format(module)),
    }
    targets = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        f"{module}.py": f"{kind}.py",
        f"tests/test_{module}.py": "test_observer.py" if kind == "observer" else "test.py",
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
