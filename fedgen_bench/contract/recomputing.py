"""Gradient checkpointing: parts of a model that keep their inputs alone and are computed again for the gradient.

`recomputed` calls such a part (libraries are given it, or its keywords for torch's `checkpoint`); `measured_parts`
tells what parts would have kept.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

Kept = dict[int, int]
_measuring: list[list[Kept]] = []


def _contexts() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
    """Around a part when it is computed first, and again."""
    return (_measured(_measuring[-1]) if _measuring else nullcontext()), nullcontext()


recomputed: partial[Any] = partial(checkpoint, use_reentrant=False, context_fn=_contexts)


@contextlib.contextmanager
def measured_parts() -> Iterator[list[Kept]]:
    """While inside, no part is computed again: what each of them keeps is told, as bytes by storage."""
    parts: list[Kept] = []
    _measuring.append(parts)
    try:
        yield parts
    finally:
        _measuring.pop()


@contextlib.contextmanager
def kept_for_gradients(kept: Kept) -> Iterator[None]:
    """While inside, bytes of every storage that autograd keeps are put into `kept`."""

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage.nbytes()  # noqa: SLF001 - an address would count as a write
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield


@contextlib.contextmanager
def _measured(parts: list[Kept]) -> Iterator[None]:
    kept: Kept = {}
    with kept_for_gradients(kept):
        yield
    parts.append(kept)
