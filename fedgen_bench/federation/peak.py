"""How many bytes of tensors are alive at most while something is computed: measured, the same in every process."""

from __future__ import annotations

import contextlib
import gc
import weakref
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

if TYPE_CHECKING:
    from collections.abc import Callable


class Alive(TorchDispatchMode):
    """While inside, follows the storages that operators give; what a kernel takes within itself is not seen.

    Args:
        but: tensors whose storages do not count.

    `peak_bytes` is the most of them at a time.
    """

    def __init__(self, but: Iterable[torch.Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak_bytes = 0
        self._sizes = {_key(one.untyped_storage()): 0 for one in but}
        self._alive_bytes = 0

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = func(*args, **(kwargs or {}))
        for one in tree_leaves(given):
            if isinstance(one, torch.Tensor):
                self._follow(one.untyped_storage())
        self.peak_bytes = max(self.peak_bytes, self._alive_bytes)
        return given

    def _follow(self, storage: torch.UntypedStorage) -> None:
        if (key := _key(storage)) not in self._sizes:
            self._sizes[key] = storage.nbytes()
            self._alive_bytes += self._sizes[key]
            weakref.finalize(storage, self._gone, key).atexit = False

    def _gone(self, key: int) -> None:
        self._alive_bytes -= self._sizes.pop(key)


def _key(storage: torch.UntypedStorage) -> int:
    key: int = storage._cdata  # noqa: SLF001 - an address would count as a write
    return key


@contextlib.contextmanager
def alive(but: Iterable[torch.Tensor]) -> Iterator[Alive]:
    """An `Alive` with the garbage collector at rest, whose runs would depend on what was before."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        with Alive(but) as followed:
            yield followed
    finally:
        if was_enabled:
            gc.enable()
