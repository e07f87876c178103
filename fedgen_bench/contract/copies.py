"""Private copies that take memory for what is written to alone."""

from __future__ import annotations

import copy
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn


def private_copy(module: nn.Module) -> nn.Module:
    """A deep copy of a module, whose tensors lie where the module's do until either of them is written to.

    So what an adapter leaves frozen is there once, however many copies are. Tensors that share memory with others, and
    such as are no plain ones or sparse, are copied at once. A write to memory past torch (through numpy, say) copies
    first, too.
    """
    import torch
    from torch import nn

    tensors = [
        one
        for one in (*module.parameters(), *module.buffers())
        if type(one) in (nn.Parameter, torch.Tensor) and one.layout is torch.strided and not one.is_nested
    ]
    users = Counter(one.untyped_storage()._cdata for one in tensors)  # noqa: SLF001 - an address would count as a write
    memo: dict[int, Any] = {}
    for tensor in tensors:
        if users[tensor.untyped_storage()._cdata] == 1 and not tensor.is_inference():  # noqa: SLF001
            same = lazily_copied(tensor)
            of_module = isinstance(tensor, nn.Parameter)
            memo[id(tensor)] = nn.Parameter(same, requires_grad=tensor.requires_grad) if of_module else same
    return copy.deepcopy(module, memo)


def lazily_copied(tensor: torch.Tensor) -> torch.Tensor:
    """The same values, detached; memory of its own as soon as this tensor or that one is written to.

    A tensor whose memory is a file's is read into memory first.
    """
    plain: Any = tensor.detach()
    try:
        given: torch.Tensor = plain._lazy_clone()  # noqa: SLF001 - torch's copy-on-write has no public name
    except RuntimeError:
        tensor.data = plain = plain.clone()
        given = plain._lazy_clone()  # noqa: SLF001
    return given
