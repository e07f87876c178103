"""What a plugin's module imports when it is loaded, read off its source: `list` loads every plugin and stays fast."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from fedgen_bench.testing.locations import Broken, is_own, module_of, shown

HEAVY = frozenset(
    "torch torchvision transformers diffusers peft tokenizers safetensors accelerate tensorflow jax flax pandas scipy "
    "sklearn matplotlib datasets ray".split()
)


def check_light_import(owner: Any) -> None:
    """Its module imports no heavy library when it is loaded: such imports stand inside methods."""
    module = module_of(owner)
    if module is None or module.__file__ is None:
        return
    for line, name in _imported(Path(module.__file__), module.__name__):
        chain = _heavy(name, owner, ())
        if chain:
            through = f" (through {', '.join(chain[:-1])})" if len(chain) > 1 else ""
            raise Broken(
                f"`{chain[-1]}` is imported when the plugin is loaded{through}. Import it inside the methods that need "
                "it, and for annotations under `if TYPE_CHECKING:`.",
                shown(module.__file__, line),
            )


def _heavy(name: str, owner: Any, seen: tuple[str, ...]) -> tuple[str, ...]:
    """The modules that lead from an import to a heavy one, which is the last; empty when none does."""
    top = name.partition(".")[0]
    if top in HEAVY:
        return (top,)
    if name in seen or top in sys.stdlib_module_names:
        return ()
    file = _file_of(name)
    if file is None or not (top == "fedgen_bench" or is_own(str(file), owner)):
        return ()
    for _, inner in _imported(file, name):
        if chain := _heavy(inner, owner, (*seen, name)):
            return (name, *chain)
    return ()


def _file_of(name: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None
    origin = None if spec is None else spec.origin
    return Path(origin) if origin is not None and origin.endswith(".py") else None


@lru_cache(maxsize=256)
def _imported(file: Path, module: str) -> tuple[tuple[int, str], ...]:
    """(line, module) of every import that runs when a module is loaded."""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return tuple(name for node in _loaded(tree.body) for name in _names(node, package))


def _loaded(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run at import: those of branches too, not those of functions or under `if TYPE_CHECKING`."""
    for node in body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            yield from _loaded(node.orelse)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
            for block in ("body", "orelse", "finalbody"):
                yield from _loaded(getattr(node, block, []))
            for handler in getattr(node, "handlers", []):
                yield from _loaded(handler.body)


def _names(node: ast.stmt, package: str) -> Iterator[tuple[int, str]]:
    if isinstance(node, ast.Import):
        yield from ((node.lineno, one.name) for one in node.names)
    elif isinstance(node, ast.ImportFrom):
        above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
        name = ".".join([*above, *([node.module] if node.module else [])])
        yield node.lineno, name
        yield from ((node.lineno, f"{name}.{one.name}") for one in node.names)
