"""What a device refuses, and what a program that works with it has to wait for, operator by operator of torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

_aten: Any = torch.ops.aten

COPYING = frozenset({_aten._to_copy, _aten.copy_})  # noqa: SLF001 - names of operators, here and below
_INDEXING = frozenset({_aten.index, _aten.index_put, _aten.index_put_, _aten._index_put_impl_, _aten._unsafe_index})  # noqa: SLF001
_ASSIGNING = _INDEXING - {_aten.index, _aten._unsafe_index}  # noqa: SLF001
# Arithmetic takes a number of the processor beside the device's tensors; these do not.
_STRICT = frozenset(
    {_aten.cat, _aten.stack, _aten.index_select, _aten.gather, _aten.embedding, _aten.mm, _aten.bmm, _aten.addmm}
)
# Those that give the program a value, or a tensor whose size depends on values.
_WAITING = frozenset(
    {
        *(_aten._local_scalar_dense, _aten.is_nonzero, _aten.equal, _aten.allclose, _aten.nonzero, _aten.bincount),  # noqa: SLF001
        *(_aten.masked_select, _aten._unique, _aten._unique2, _aten.unique_dim, _aten.unique_consecutive),  # noqa: SLF001
    }
)


def refusal(operator: Any, args: Sequence[Any], own: Sequence[Any], others: Sequence[Any], device: str) -> str:
    """Why the device does not do this, as an error says it; empty when it does.

    Args:
        operator: torch's, of any overload.
        args: positional arguments.
        own: among all arguments, tensors on the device.
        others: those on the processor, and generators of random numbers.
        device: its name.
    """
    if any(isinstance(one, torch.Generator) and one.device.type == "cpu" for one in others):
        return f"Expected a '{device}' device type for generator but found 'cpu'"
    indices = () if operator not in _INDEXING else tuple(one for one in args[1] if one is not None)
    if indices and not any(one is args[0] for one in own):
        return "indices should be either on cpu or on the same device as the indexed tensor (cpu)"
    for one in others:
        if not isinstance(one, torch.Tensor) or any(one is index for index in indices):
            continue
        if one.ndim or operator in _STRICT:
            return f"Expected all tensors to be on the same device, but found at least two devices, {device} and cpu!"
    return ""


def waits(operator: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether the program goes on only when the device has done all that it was asked for."""
    if operator is _aten.repeat_interleave:
        sizes = [one for one in (*args, kwargs.get("output_size")) if isinstance(one, int)]
        return not sizes
    if operator not in _INDEXING:
        return operator in _WAITING
    indices = [one for one in args[1] if one is not None]
    by_mask = any(one.dtype in (torch.bool, torch.uint8) for one in indices)
    if operator in _ASSIGNING and by_mask and len(indices) == 1 and args[2].numel() == 1:
        return False  # a masked fill
    return by_mask or any(one.device.type == "cpu" for one in indices)


def copied(operator: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[torch.Tensor, bool]:
    """What a copying operator copies, and whether the program waits for that."""
    if operator is _aten.copy_:
        at_once = args[2] if len(args) > 2 else kwargs.get("non_blocking", False)  # noqa: PLR2004 - target, source, this
        return args[1], not at_once
    return args[0], not kwargs.get("non_blocking", False)


def tensors_and_generators(values: Sequence[Any]) -> Iterator[Any]:
    """Those among flattened arguments."""
    return (one for one in values if isinstance(one, torch.Tensor | torch.Generator))
