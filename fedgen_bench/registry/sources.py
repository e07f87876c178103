"""The source of a plugin: its module and, recursively, every module of its own that this imports, as one hash.

Imports are read, not executed: at the top and inside functions, of packages, relative, and by `import_module("name")`.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

_OURS = frozenset({"fedgen_bench", "fedgen_bench_plugins", "fedgen_bench_baselines"})
_INSTALLED = frozenset({"site-packages", "dist-packages"})


def source_sha256(file: Path) -> str:
    """Hex sha256 of a module and of what it imports from beside it, or from the package that it is part of.

    That of the file itself where it imports nothing of the kind; data files that it reads do not count. Among installed
    packages only its own counts: the others stand beside it without being part of it.
    """
    file = file.resolve()
    base, hashes = _package_root(file), dict[Path, str]()
    top = file.relative_to(base).parts[0]
    roots = {root: top if root.name in _INSTALLED else "" for root in (file.parent, base)}
    waiting = [file]
    while waiting:
        module = waiting.pop()
        if module in hashes:
            continue
        content = module.read_bytes()
        hashes[module] = hashlib.sha256(content).hexdigest()
        waiting += [path.resolve() for path in _imported(content, module, roots)]
    own = hashes.pop(file)
    if not hashes:
        return own
    others = sorted(f"{os.path.relpath(path, base)}\0{sha256}" for path, sha256 in hashes.items())
    return hashlib.sha256("\n".join([own, *others]).encode()).hexdigest()


def editable_sha256(point: importlib.metadata.EntryPoint) -> str:
    """`source_sha256` of an imported entry point when its distribution is installed editable; empty otherwise.

    The version of such a distribution says nothing of its source.
    """
    told = None if point.dist is None else point.dist.read_text("direct_url.json")
    if not told or not json.loads(told).get("dir_info", {}).get("editable"):
        return ""
    file = getattr(sys.modules.get(point.module), "__file__", None)
    return source_sha256(Path(file)) if file else ""


def _package_root(file: Path) -> Path:
    """The folder that a module of a package is imported from."""
    folder = file.parent
    while (folder / "__init__.py").is_file():
        folder = folder.parent
    return folder


def _imported(content: bytes, file: Path, roots: Mapping[Path, str]) -> Iterator[Path]:
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError):  # importing it will tell
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _modules(alias.name, roots)
        elif isinstance(node, ast.ImportFrom):
            bases, name = roots, node.module or ""
            if node.level:
                folder = file.parent
                for _ in range(node.level - 1):
                    folder = folder.parent
                bases = {folder: ""}
            for alias in node.names:
                yield from _modules(f"{name}.{alias.name}".strip("."), bases)
        elif isinstance(node, ast.Call) and (name := _called_import(node)):
            yield from _modules(name, roots)


def _called_import(node: ast.Call) -> str:
    """The name in `importlib.import_module("name")` and its like."""
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    first = node.args[0] if node.args else None
    named = called in {"import_module", "__import__"} and isinstance(first, ast.Constant)
    return first.value if named and isinstance(first, ast.Constant) and isinstance(first.value, str) else ""


def _modules(name: str, roots: Mapping[Path, str]) -> Iterator[Path]:
    """Files of a dotted name and of the packages that it goes through, below any of the roots.

    A root goes with the only package that counts in it; all do where that is empty.
    """
    parts = name.split(".")
    if parts[0] in _OURS:
        return
    for root, only in roots.items():
        if only not in {"", parts[0]}:
            continue
        folder = root
        for part in parts:
            if (module := folder / f"{part}.py").is_file():
                yield module
            folder /= part
            if not folder.is_dir():
                break
            if (package := folder / "__init__.py").is_file():
                yield package
