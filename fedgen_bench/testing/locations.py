"""Where in a plugin's own files something happened: `my_method.py:12`."""

from __future__ import annotations

import contextlib
import dis
import functools
import inspect
import linecache
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from fedgen_bench.contract import plain

_WHERE = "fedgen_where"
_TAKEN = Path(plain.__file__)


class Broken(AssertionError):  # noqa: N818 - reads as what the component is
    """A rule that a component breaks, and where in its own files (empty where that is not known)."""

    def __init__(self, message: str, where: str = "") -> None:
        super().__init__(message)
        self.fedgen_where = where


def shown(file: str, line: int) -> str:
    """`file:line`, below the working folder relative to it; empty for a method that a class took from us."""
    path = Path(file)
    if path == _TAKEN:
        return ""
    with contextlib.suppress(ValueError, OSError):
        path = path.relative_to(Path.cwd())
    return f"{path}:{line}"


def line_of(thing: Any) -> str:
    """Where a function, a method or a class (or an instance's) is defined; empty for what has no source."""
    thing = _plain(thing)
    code: CodeType | None = getattr(thing, "__code__", None)
    if code is not None:
        return shown(code.co_filename, _first_line(code))
    kind = thing if isinstance(thing, type) else type(thing)
    try:
        lines, start = inspect.getsourcelines(kind)
        return shown(inspect.getfile(kind), start + _head(lines))
    except (OSError, TypeError):
        return ""


def return_of(function: Any) -> str:
    """Where a function returns a value; its first line where there are several such places, or none is known."""
    code: CodeType | None = getattr(_plain(function), "__code__", None)
    if code is None:
        return line_of(function)
    lines = {
        instruction.positions.lineno
        for instruction in dis.get_instructions(code)
        if instruction.opname == "RETURN_VALUE" and instruction.positions and instruction.positions.lineno
    }
    line = lines.pop() if len(lines) == 1 else 0
    said = "return" in linecache.getline(code.co_filename, line)
    return shown(code.co_filename, line) if said else line_of(function)


def yield_of(half: Any) -> str:
    """Where a suspended generator, or the one that it delegates to in the same file, waits."""
    frame = getattr(half, "gi_frame", None)
    if frame is None:
        return ""
    inner: Any = getattr(half, "gi_yieldfrom", None)
    if getattr(inner, "gi_frame", None) is not None and inner.gi_code.co_filename == half.gi_code.co_filename:
        return yield_of(inner)
    return shown(frame.f_code.co_filename, frame.f_lineno)


def _plain(thing: Any) -> Any:
    """A function or class behind partials, bound methods and decorators."""
    while isinstance(thing, functools.partial):
        thing = thing.func
    return inspect.unwrap(getattr(thing, "__func__", thing))


def _first_line(code: CodeType) -> int:
    if not Path(code.co_filename).is_file():
        return code.co_firstlineno
    lines, start = inspect.getsourcelines(code)
    return start + _head(lines)


def _head(lines: list[str]) -> int:
    """Index of the line that says `def` or `class`, below decorators."""
    return next((i for i, line in enumerate(lines) if line.lstrip().startswith(("def ", "async def ", "class "))), 0)


class Located:
    """An object of ours that stands before a plugin's and knows where in the plugin's files it is."""

    location: Callable[[], str]


@contextlib.contextmanager
def at(thing: Any) -> Iterator[None]:
    """Whatever is raised inside belongs to where `thing` is defined, unless it has a location."""
    try:
        yield
    except BaseException as error:
        owner = getattr(thing, "__self__", None)
        note_location(error, owner.location() if isinstance(owner, Located) else line_of(thing))
        raise


def note_location(error: BaseException, where: str) -> None:
    """Write the location onto an error that has none."""
    if where and not getattr(error, _WHERE, ""):
        with contextlib.suppress(Exception):  # a type with slots
            setattr(error, _WHERE, where)


def module_of(owner: Any) -> ModuleType | None:
    """The module that a class or function is from."""
    return sys.modules.get(getattr(_plain(owner), "__module__", None) or "")


def is_own(file: str, owner: Any) -> bool:
    """Whether a file belongs to the plugin that `owner` (a class or function of it) is from.

    That is the owner's module and all of its package, or what lies beside it when it is in none.
    """
    module = module_of(owner)
    if module is None or module.__file__ is None or file.startswith("<"):  # code of no file, as a dataclass's methods
        return False
    there, path = Path(module.__file__).resolve(), Path(file).resolve()
    if path == there:
        return True
    top, _, below = module.__name__.partition(".")
    if top == "fedgen_bench" or "site-packages" in path.parts[len(there.parent.parts) :]:
        return False
    if below or there.name == "__init__.py":
        return path.is_relative_to(there.parents[module.__name__.count(".") - (there.name != "__init__.py")])
    return there.parent.name != "site-packages" and path.is_relative_to(there.parent)


def raised_at(error: BaseException, owner: Any) -> str:
    """The last place in the plugin's own files on an error's way up, causes included; empty when there is none."""
    cause: BaseException | None = error
    while cause is not None:
        for frame in reversed(traceback.extract_tb(cause.__traceback__)):
            if is_own(frame.filename, owner):
                return shown(frame.filename, frame.lineno or 0)
        cause = cause.__cause__
    return ""


def location_of(error: BaseException, owner: Any) -> str:
    """Where the plugin is to be mended: where it raised, else what was noted, else where its component is defined."""
    noted: str = getattr(error, _WHERE, "")
    return raised_at(error, owner) or noted or line_of(owner)
