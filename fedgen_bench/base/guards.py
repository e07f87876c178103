"""The guard around every call of a plugin: what it leaves changed in the process is put back, and the plugin is named.

Watched are the global random generators, process-wide settings (of torch, numpy, warnings, the environment, the working
folder, signal handlers) and the tensors that the plugin is given. Torch is watched from the moment it is imported.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from _signal import getsignal  # type: ignore[import-not-found] # that of `signal` takes 50 times as long
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import lru_cache
from types import TracebackType
from typing import Any

from fedgen_bench.base.errors import PluginError
from fedgen_bench.base.failures import as_failure
from fedgen_bench.base.generators import of_numpy, of_random, of_torch


@dataclass(frozen=True)
class _Setting:
    """One process-wide setting. `imports_may`: what libraries also do when they are imported; put back, not blamed."""

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object]
    imports_may: bool = False
    shown: bool = True


def _folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109 - a quarter of a microsecond
    except FileNotFoundError:
        return ""


def _write_environment(before: Mapping[Any, Any]) -> None:
    wanted = {os.fsdecode(name): os.fsdecode(value) for name, value in before.items()}
    for name in set(os.environ) - set(wanted):
        del os.environ[name]
    for name, value in wanted.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


def _write_filters(before: list[Any]) -> None:
    warnings.filters[:] = before  # type: ignore[index]


def _write_handlers(before: tuple[Any, ...]) -> None:
    if threading.current_thread() is threading.main_thread():
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            if handler is not None:
                signal.signal(number, handler)


_PYTHON = (
    _Setting("the working folder", _folder, os.chdir),
    _Setting(
        "environment variables",
        os.environ._data.copy,  # type: ignore[attr-defined]  # noqa: SLF001 - the public copy decodes: 20 us
        _write_environment,
        imports_may=True,
        shown=False,
    ),
    _Setting("warnings filters", lambda: warnings.filters[:], _write_filters, imports_may=True, shown=False),
    _Setting(
        "signal handlers",
        lambda: (getsignal(signal.SIGINT), getsignal(signal.SIGTERM)),
        _write_handlers,
        shown=False,
    ),
    _Setting("the generator of random", *of_random(), imports_may=True, shown=False),
)


def _numpy() -> tuple[_Setting, ...]:
    import numpy as np

    return (
        _Setting("the generator of numpy", *of_numpy(), shown=False),
        _Setting("numpy's handling of errors", np.geterr, lambda before: np.seterr(**before), shown=False),
    )


def _torch() -> tuple[_Setting, ...]:
    import torch

    cpu = torch.device("cpu")

    def read_device() -> torch.device:
        inside = torch._C._len_torch_function_stack() or getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)  # noqa: SLF001
        return torch.get_default_device() if inside else cpu

    def read_deterministic() -> tuple[bool, bool]:
        return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()

    def write_deterministic(before: tuple[bool, bool]) -> None:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])

    def read_autocast() -> tuple[bool, bool]:
        return torch.is_autocast_enabled("cpu"), torch.is_autocast_enabled("cuda")

    def write_autocast(before: tuple[bool, bool]) -> None:
        for device, enabled in zip(("cpu", "cuda"), before, strict=True):
            torch.set_autocast_enabled(device, enabled)

    cudnn = ("deterministic", "benchmark", "allow_tf32")

    def write_cudnn(before: tuple[bool, ...]) -> None:
        for name, value in zip(cudnn, before, strict=True):
            setattr(torch.backends.cudnn, name, value)

    return (
        _Setting("the generator of torch", *of_torch(), shown=False),
        _Setting("torch's default dtype", torch.get_default_dtype, torch.set_default_dtype),
        _Setting(
            "torch's default device",
            read_device,
            lambda before: torch.set_default_device(None if before.type == "cpu" else before),
        ),
        _Setting("torch's number of threads", torch.get_num_threads, torch.set_num_threads),
        _Setting("torch's grad mode", torch.is_grad_enabled, torch.set_grad_enabled),
        _Setting("torch's autocast", read_autocast, write_autocast),
        _Setting(
            "torch's deterministic algorithms",
            read_deterministic,
            write_deterministic,
        ),
        _Setting("cuDNN's flags", lambda: tuple(getattr(torch.backends.cudnn, name) for name in cudnn), write_cudnn),
        _Setting(
            "torch's precision of matrix products",
            torch.get_float32_matmul_precision,
            torch.set_float32_matmul_precision,
        ),
    )


_LOADERS = {"numpy": _numpy, "torch": _torch}
_loaded: set[str] = set()
_watched: list[_Setting] = [*_PYTHON]


def _settings() -> list[_Setting]:
    if len(_loaded) < len(_LOADERS):
        for library, load in _LOADERS.items():
            if library not in _loaded and library in sys.modules:
                _loaded.add(library)
                _watched.extend(load())
    return _watched


_PLAIN = frozenset({int, float, str, bool, type(None)})


class guarded:  # noqa: N801 - used as a context manager
    """Around plugin code.

    Args:
        what: whose code it is, for messages: ``"MyMethod.client"``.
        given: what it is given, by name: tensors, also inside maps, sequences and dataclasses, are watched by their
            version counters (a write through `.data` or numpy is seen by the contract tests alone).

    Raises:
        PluginError: it left the process or something that it was given changed; it raised what is no ordinary error.
    """

    def __init__(self, what: str, **given: Any) -> None:
        self._what, self._given = what, given

    def __enter__(self) -> None:
        self._versions = _versions(self._given) if self._given else []
        self._before = [(setting, setting.read()) for setting in _settings()]
        self._n_modules = len(sys.modules)  # after the reading, which may import, too

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        left = self._put_back()
        if error is not None:
            failure = as_failure(self._what, error)
            if failure is not None:
                raise failure from error
        elif left:
            raise PluginError(f"{self._what} {left}")
        elif any(tensor._version != version for tensor, version in self._versions):  # noqa: SLF001
            raise PluginError(
                f"{self._what} changed {self._first_changed()} in place. Make a new tensor (`tensor.clone()`) instead."
            )

    def _put_back(self) -> str:
        """What was left changed, as a sentence and what to do; empty when nothing was, or only by imports."""
        moved, changed = [], []
        imported = len(sys.modules) != self._n_modules
        for setting, before in self._before:
            after = setting.read()
            if after == before:
                continue
            setting.write(before)
            if imported and setting.imports_may:
                continue
            if setting.name.startswith("the generator of "):
                moved.append(setting.name.removeprefix("the generator of "))
            else:
                changed.append(setting.name + (f" ({before} to {after})" if setting.shown else ""))
        if moved:
            what = f"moved the global generator of {' and '.join(moved)}"
            return f"{what}. Draw from a generator that it is given, as `ctx.generator()`, instead."
        if changed:
            return f"left changed for everybody: {', '.join(changed)}. Put it back before returning or yielding."
        return ""

    def _first_changed(self) -> str:
        changed = {id(tensor) for tensor, version in self._versions if tensor._version != version}  # noqa: SLF001
        named = (
            path for name, value in self._given.items() for path, tensor in _named(name, value) if id(tensor) in changed
        )
        return f"`{next(named, 'a tensor that it was given')}`"


def _versions(value: Any) -> list[tuple[Any, int]]:
    """Every tensor with a version counter inside a value, and what it counts."""
    tensors = _tensors(value)
    try:
        return [(tensor, tensor._version) for tensor in tensors]  # noqa: SLF001
    except RuntimeError:  # tensors of inference mode count nothing
        return [(tensor, tensor._version) for tensor in tensors if not tensor.is_inference()]  # noqa: SLF001


def _tensors(value: Any) -> list[Any]:
    torch = sys.modules.get("torch")
    found: list[Any] = []
    if torch is None:
        return found
    tensor, left = torch.Tensor, [value]
    while left:
        value = left.pop()
        kind: Any = type(value)
        if kind is tensor:
            found.append(value)
        elif kind in _PLAIN:
            continue
        elif kind is dict or isinstance(value, Mapping):
            left.extend(value.values())
        elif isinstance(value, list | tuple):
            left.extend(value)
        elif isinstance(value, tensor):
            found.append(value)
        else:
            left.extend([getattr(value, name) for name in _field_names(kind)])
    return found


@lru_cache(maxsize=256)
def _field_names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind)) if is_dataclass(kind) else ()


def _named(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """As `_tensors`, each with its path: ``ctx.start['left']``."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _named(f"{path}[{key!r}]", inner)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _named(f"{path}[{index}]", inner)
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from _named(f"{path}.{field.name}", getattr(value, field.name))
    else:
        yield path, value
