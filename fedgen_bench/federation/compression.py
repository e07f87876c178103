"""Compressors in front of the wire: chains of them, changes instead of values, and what was lost is sent later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.errors import PluginError, WireError
from fedgen_bench.base.guards import guarded

if TYPE_CHECKING:
    import torch

    from fedgen_bench.contract.data import Tensors
    from fedgen_bench.contract.protocols import Compressor


_RESIDUAL = "#residual/"


def layout_like(tensors: Tensors) -> Tensors:
    """Zeros with the names, shapes and dtypes of `tensors`, in no memory to speak of."""
    return {name: tensor.new_zeros(()).expand(tensor.shape) for name, tensor in tensors.items()}


@dataclass(frozen=True)
class Chain:
    """Compressors one after the other: the next one makes smaller what the one before gave."""

    compressors: tuple[Compressor, ...] = ()

    def compress(self, tensors: Tensors) -> Tensors:
        """What travels instead of `tensors`."""
        if not self.compressors:
            return tensors
        with guarded(self._what("compress"), tensors=tensors):
            for compressor in self.compressors:
                tensors = compressor.compress(tensors)
        return tensors

    def _what(self, method: str) -> str:
        return f"{' and '.join(type(compressor).__name__ for compressor in self.compressors)}.{method}"

    def layout(self, like: Tensors) -> Tensors:
        """Names, shapes and dtypes of what travels for tensors like these."""
        return layout_like(self.compress(like))

    def decompress(self, tensors: Tensors, like: Tensors) -> Tensors:
        """The receiver's copy, with the layout of `like`.

        Raises:
            WireError: `malformed`, values that no compressor of the chain can have sent.
            PluginError: a compressor gives back another layout than it was asked for.
        """
        if not self.compressors:
            return tensors
        with guarded(self._what("decompress"), tensors=tensors):
            return self._decompressed(tensors, like)

    def _decompressed(self, tensors: Tensors, like: Tensors) -> Tensors:
        stages = [like]
        for compressor in self.compressors[:-1]:
            stages.append(compressor.compress(stages[-1]))
        for compressor, wanted in zip(reversed(self.compressors), reversed(stages), strict=False):
            try:
                tensors = compressor.decompress(tensors, wanted)
            except (ValueError, IndexError, KeyError, RuntimeError) as error:
                raise WireError("malformed", f"The compressed update cannot be decompressed: {error}.") from None
            if problem := other_layout(tensors, wanted):
                name = type(compressor).__name__
                raise PluginError(f"{name}.decompress gives {problem}. Give back what was compressed.")
        return tensors


def other_layout(tensors: Any, wanted: Tensors) -> str | None:
    """How names, shapes or dtypes differ from the wanted ones, or None."""
    if not isinstance(tensors, Mapping):
        return f"a {type(tensors).__name__} where a map of tensors is wanted"
    if odd := tensors.keys() ^ wanted.keys():
        name = min(map(str, odd))
        return f"no tensor `{name}`" if name in wanted else f"a tensor `{name}` that it was not given"
    for name, expected in wanted.items():
        tensor = tensors[name]
        if not isinstance(tensor, type(expected)):
            return f"`{name}` as a {type(tensor).__name__} where a tensor is wanted"
        if (tensor.dtype, tensor.shape) != (expected.dtype, expected.shape):
            return (
                f"`{name}` as {tensor.dtype} of shape {tuple(tensor.shape)} where {expected.dtype} of shape "
                f"{tuple(expected.shape)} is wanted"
            )
    return None


@dataclass(frozen=True)
class Uplink:
    """A chain over the change of what was received; without compressors values travel as they are."""

    chain: Chain = Chain()

    def pack(
        self, tensors: Tensors, received: Tensors, residual: Mapping[str, torch.Tensor]
    ) -> tuple[Tensors, Tensors]:
        """What travels, and what was lost on the way when the chain feeds errors back (else empty).

        Args:
            tensors: the update.
            received: what the client got from the server; tensors of the same name and shape are what it changed.
            residual: what was lost the last time.
        """
        if not self.chain.compressors:
            return tensors, {}
        change = _change(tensors, received)
        if not any(compressor.error_feedback for compressor in self.chain.compressors):
            return self.chain.compress(change), {}
        owed = {name: tensor + residual[name] if name in residual else tensor for name, tensor in change.items()}
        packed = self.chain.compress(owed)
        arrived = self.chain.decompress(packed, layout_like(owed))
        lost = {name: tensor - arrived[name] for name, tensor in owed.items() if tensor.is_floating_point()}
        return packed, lost

    def layout(self, like: Tensors) -> Tensors:
        """Names, shapes and dtypes of what travels for an update like this."""
        return self.chain.layout(like) if self.chain.compressors else like

    def unpack(self, packed: Tensors, like: Tensors, sent: Tensors) -> Tensors:
        """The update on the server. Raises as `Chain.decompress` does."""
        if not self.chain.compressors:
            return packed
        change = self.chain.decompress(packed, like)
        return {
            name: tensor + sent[name] if _changes(tensor, sent.get(name)) else tensor for name, tensor in change.items()
        }


def _changes(tensor: torch.Tensor, base: torch.Tensor | None) -> bool:
    return base is not None and tensor.is_floating_point() and base.shape == tensor.shape


def _change(tensors: Tensors, received: Tensors) -> Tensors:
    return {
        name: tensor - received[name] if _changes(tensor, received.get(name)) else tensor
        for name, tensor in tensors.items()
    }


def residual_in(keep: Tensors) -> Tensors:
    """What a client with this private state still owes, by tensor."""
    return {name.removeprefix(_RESIDUAL): tensor for name, tensor in keep.items() if name.startswith(_RESIDUAL)}


def with_residual(keep: Tensors, residual: Tensors) -> Tensors:
    """The private state of a client that owes this."""
    return {**keep, **{_RESIDUAL + name: tensor for name, tensor in residual.items()}}
