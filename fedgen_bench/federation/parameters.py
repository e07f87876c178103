"""An adapter's tensors into its parameters and out again, those of lower ranks included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from fedgen_bench.base.errors import PluginError
from fedgen_bench.contract.contexts import LowRank
from fedgen_bench.contract.data import Tensors


@torch.no_grad()
def load_tensors(
    trainable: Mapping[str, torch.nn.Parameter], tensors: Tensors, low_rank: Sequence[LowRank] = ()
) -> None:
    """Copy `tensors` into the parameters; LoRA factors of a lower rank are padded with zeros.

    A zero column of B beside a zero row of A has no gradient, so such factors train as those of the lower rank do.

    Raises:
        PluginError: names or shapes are not the adapter's.
    """
    if tensors.keys() != trainable.keys():
        odd = min(tensors.keys() ^ trainable.keys())
        raise PluginError(
            f"Tensors do not match the adapter's: `{odd}` is {'missing' if odd in trainable else 'unknown'}."
        )
    for name, parameter in trainable.items():
        if tensors[name].shape == parameter.shape:
            parameter.copy_(tensors[name])
        elif name not in _fitting(tensors, trainable, low_rank):
            raise PluginError(
                f"`{name}` has shape {tuple(tensors[name].shape)}, the adapter's is {tuple(parameter.shape)}."
            )
        else:
            parameter.zero_()
            parameter[leading(tensors[name].shape)] = tensors[name].to(parameter.device)


def _fitting(
    tensors: Tensors, trainable: Mapping[str, torch.nn.Parameter], low_rank: Sequence[LowRank]
) -> frozenset[str]:
    """Factors A (r, n_in) and B (n_out, r) of one rank r, at least 1 and at most the adapter's."""
    fitting = set()
    for pair in low_rank:
        (rank, n_in), (n_out, most) = trainable[pair.a].shape, trainable[pair.b].shape
        r = len(tensors[pair.a])
        if 0 < r <= rank == most and tensors[pair.a].shape == (r, n_in) and tensors[pair.b].shape == (n_out, r):
            fitting |= {pair.a, pair.b}
    return frozenset(fitting)


def leading(shape: torch.Size) -> tuple[slice, ...]:
    """Index of the leading corner of this shape."""
    return tuple(slice(size) for size in shape)


def dump_tensors(trainable: Mapping[str, torch.nn.Parameter]) -> dict[str, torch.Tensor]:
    """Detached CPU copies of the parameters."""
    return {name: parameter.detach().to("cpu", copy=True) for name, parameter in trainable.items()}


def dump_like(trainable: Mapping[str, torch.nn.Parameter], like: Tensors) -> dict[str, torch.Tensor]:
    """As `dump_tensors`, in the shapes of `like`: of a lower rank's the leading corner."""
    return {name: one[leading(like[name].shape)].contiguous() for name, one in dump_tensors(trainable).items()}


def padded(tensors: Tensors, trainable: Mapping[str, torch.nn.Parameter]) -> list[torch.Tensor]:
    """Tensors for these parameters, on their device; those of a lower rank stand in the leading corner of zeros."""
    filled = []
    for name, parameter in trainable.items():
        tensor = tensors[name].to(parameter.device)
        if tensor.shape != parameter.shape:
            whole = tensor.new_zeros(parameter.shape)
            whole[leading(tensor.shape)] = tensor
            tensor = whole
        filled.append(tensor)
    return filled
