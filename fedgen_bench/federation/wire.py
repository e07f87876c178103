"""The wire: messages are really encoded, the encoding's length is booked, the receiver decodes these bytes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal

import torch

from fedgen_bench.base.errors import WireError
from fedgen_bench.contract.messages import Header, Message
from fedgen_bench.contract.reports import LedgerEntry
from fedgen_bench.federation.envelope import META, Layout, head_bytes, opened
from fedgen_bench.federation.pieces import DTYPES, Pieces, pieces

if TYPE_CHECKING:
    from fedgen_bench.contract.data import Tensors

TRAVELLING = frozenset(
    {
        torch.float64, torch.float32, torch.float16, torch.bfloat16,
        torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool,
    }
)  # fmt: skip


def encode(tensors: Tensors, header: Header) -> bytes:
    """A message: safetensors whose metadata hold the typed header."""
    return pieces(tensors).whole(**_metadata(header))


def addressed(laid_out: Pieces, body: bytes, header: Header) -> Message:
    """As `encode`, of tensors that were laid out and joined before."""
    return Message(laid_out.head(**_metadata(header)), body)


def _metadata(header: Header) -> dict[str, str]:
    meta = {"round": header.round_index, "client": header.client_id, "n_examples": header.n_examples}
    return {META: json.dumps(meta, separators=(",", ":"))}


def decode(message: Message | bytes) -> tuple[Header, dict[str, torch.Tensor]]:
    """A message's header, and its tensors in its own order, as views of it. Raises WireError: `malformed`."""
    envelope = opened(message)
    return envelope.header, envelope.tensors()


def tensor_bytes(tensors: Tensors) -> int:
    """Analytic size of the tensors alone: sum of numel x itemsize."""
    return sum(tensor.nbytes for tensor in tensors.values())


def book(message: Message | bytes, header: Header, direction: Literal["up", "down"], phase: str = "fit") -> LedgerEntry:
    """The ledger's entry for an encoded message; the tensor part is read off the encoding itself.

    It is booked before it is admitted: whatever header length a message claims, no more is booked than arrived.
    """
    head = min(head_bytes(message), len(message))
    return LedgerEntry(
        round_index=header.round_index,
        client_id=header.client_id,
        direction=direction,
        phase=phase,
        encoded_bytes=len(message),
        tensor_bytes=len(message) - head,
        header_bytes=head,
    )


def layout_of(tensors: Tensors) -> Layout:
    """(safetensors dtype, shape) by name. Raises WireError for a dtype that does not travel."""
    for name, tensor in tensors.items():
        if tensor.dtype not in TRAVELLING:
            raise WireError("dtype", f"`{name}` has dtype {tensor.dtype}, which cannot be sent.")
    return {name: (DTYPES[tensor.dtype], tuple(tensor.shape)) for name, tensor in tensors.items()}
