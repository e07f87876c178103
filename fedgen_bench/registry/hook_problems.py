"""What is wrong with a plugin module's hooks, each with the line to mend."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any

from fedgen_bench.base.errors import did_you_mean
from fedgen_bench.contract import hookspecs

_MARK = f"{hookspecs.PROJECT}_impl"
HOOKS = {name: hook for name, hook in vars(hookspecs).items() if hasattr(hook, f"{hookspecs.PROJECT}_spec")}


def hook_problems(plugin: object) -> Iterator[str]:
    """`file:line: sentence` for every hook without its mark, of an unknown name or with unknown arguments."""
    if not isinstance(plugin, ModuleType):
        return
    for name, function in vars(plugin).items():
        if not isinstance(function, FunctionType) or function.__module__ != plugin.__name__:
            continue
        sentence = _problem(name, function)
        if sentence:
            yield f"{place_of_function(function)}: {sentence}"


def _problem(name: str, function: Any) -> str:
    marked: Any = getattr(function, _MARK, None)
    if name not in HOOKS:
        if marked is None or marked.get("optionalhook") or marked.get("specname"):
            return ""
        return f"There is no hook `{name}`.{did_you_mean(name, HOOKS)}"
    if marked is None:
        return f"`{name}` is not marked. Put `@hookimpl` above it."
    known = inspect.signature(HOOKS[name]).parameters
    odd = [argument for argument in inspect.signature(function).parameters.values() if argument.name not in known]
    required = [argument.name for argument in odd if argument.default is argument.empty]
    if required:
        takes = ", ".join(f"`{name}`" for name in known) or "none"
        return f"`{name}` takes `{required[0]}`, which no hook of that name has. Its arguments: {takes}."
    return ""


def place_of_function(function: Any) -> str:
    """`file:line` of its `def`, below decorators."""
    code = inspect.unwrap(getattr(function, "__func__", function)).__code__
    try:
        lines, start = inspect.getsourcelines(code)
    except OSError:  # a module without its source
        return f"{code.co_filename}:{code.co_firstlineno}"
    offset = next((i for i, line in enumerate(lines) if line.lstrip().startswith(("def ", "async def "))), 0)
    return f"{code.co_filename}:{start + offset}"
