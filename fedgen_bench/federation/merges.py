"""Updates of the backbone on the wire: a client is sent those that it lacks; its private state counts what it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from fedgen_bench.contract.data import Tensors
    from fedgen_bench.contract.messages import Payload

_MERGE = "#merge/"
_N_MERGES = "#n_merges"


def with_merges(payload: Payload, tensors: Tensors, n_known: int) -> Tensors:
    """What travels: the payload's (compressed) tensors and the merges that the client lacks."""
    missing = {
        f"{_MERGE}{index}/{name}": tensor
        for index, merge in enumerate(payload.merges[n_known:], start=n_known)
        for name, tensor in merge.items()
    }
    return {**tensors, **missing}


def split_merges(received: Tensors) -> tuple[Tensors, tuple[Tensors, ...]]:
    """Tensors, and new merges in their order."""
    merges: dict[int, dict[str, torch.Tensor]] = {}
    tensors = {}
    for name, tensor in received.items():
        if name.startswith(_MERGE):
            index, _, own = name.removeprefix(_MERGE).partition("/")
            merges.setdefault(int(index), {})[own] = tensor
        else:
            tensors[name] = tensor
    return tensors, tuple(merges[index] for index in sorted(merges))


def n_merges_in(keep: Tensors) -> int:
    """How many merges a client with this private state has received."""
    return int(keep[_N_MERGES]) if _N_MERGES in keep else 0


def with_n_merges(keep: Tensors, n_merges: int) -> Tensors:
    """The private state of a client that has received so many merges."""
    import torch

    return {**keep, _N_MERGES: torch.tensor(n_merges)}
