"""When two values are equal to the bit."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from fedgen_bench.contract.data import Tensors


def fingerprint(value: Any) -> str:
    """A text that changes whenever a tensor, number or name anywhere inside `value` does."""
    import torch

    if isinstance(value, torch.Tensor):
        raw = value.detach().contiguous().flatten().view(torch.uint8) if value.numel() else value.flatten()
        return f"{value.dtype}{tuple(value.shape)}{raw.tolist()}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        inside = [f"{one.name}={fingerprint(getattr(value, one.name))}" for one in dataclasses.fields(value)]
        return f"{type(value).__name__}({inside})"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{fingerprint(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{','.join(fingerprint(one) for one in value)}]"
    return repr(value)


def same_bits(ours: Tensors | None, theirs: Tensors | None) -> bool:
    """Equal names, dtypes, shapes and bits, in whatever order of names."""
    if ours is None or theirs is None:
        return ours is theirs
    return fingerprint(dict(sorted(ours.items()))) == fingerprint(dict(sorted(theirs.items())))
