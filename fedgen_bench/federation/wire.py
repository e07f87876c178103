"""The wire: messages are really encoded, the encoding's length is booked, the receiver gets the decoded copy."""

from __future__ import annotations

import json
import math
from typing import Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from fedgen_bench.base.errors import WireError
from fedgen_bench.contract.data import Tensors
from fedgen_bench.contract.messages import Header, Update
from fedgen_bench.contract.reports import LedgerEntry

_META = "fedgen"
_LENGTH_BYTES = 8
_DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def encode(tensors: Tensors, header: Header) -> bytes:
    """A message: safetensors whose metadata hold the typed header."""
    meta = {"round": header.round_index, "client": header.client_id, "n_examples": header.n_examples}
    message: bytes = save(owned(tensors), metadata={_META: json.dumps(meta, separators=(",", ":"))})
    return message


def owned(tensors: Tensors) -> dict[str, torch.Tensor]:
    """The same values as contiguous CPU tensors that share no memory within the map, as safetensors wants them."""
    seen: set[int] = set()
    result: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        flat = tensor.detach().cpu().contiguous()
        storage = flat.untyped_storage()
        if storage.data_ptr() in seen or storage.nbytes() != flat.numel() * flat.element_size():
            flat = flat.clone()
            storage = flat.untyped_storage()
        seen.add(storage.data_ptr())
        result[name] = flat
    return result


def tensor_bytes(tensors: Tensors) -> int:
    """Analytic size of the tensors alone: sum of numel x itemsize."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def header_bytes(message: bytes) -> int:
    """Length of what stands before the tensors in an encoded message, as the message itself says."""
    return _LENGTH_BYTES + int.from_bytes(message[:_LENGTH_BYTES], "little")


def book(message: bytes, header: Header, direction: Literal["up", "down"], phase: str = "fit") -> LedgerEntry:
    """The ledger's entry for an encoded message; the tensor part is read off the encoding itself.

    It is booked before it is admitted: whatever header length a message claims, no more is booked than arrived.
    """
    head = min(header_bytes(message), len(message))
    return LedgerEntry(
        round_index=header.round_index,
        client_id=header.client_id,
        direction=direction,
        phase=phase,
        encoded_bytes=len(message),
        tensor_bytes=len(message) - head,
        header_bytes=head,
    )


def read_header(message: bytes) -> tuple[Header, dict[str, tuple[str, tuple[int, ...]]]]:
    """Header and (dtype, shape) of every tensor, without touching the tensors.

    Raises:
        WireError: `malformed` bytes.
    """
    try:
        length = int.from_bytes(message[:_LENGTH_BYTES], "little")
        if len(message) < _LENGTH_BYTES + length:
            raise ValueError("truncated header")  # noqa: TRY301 - joins what the parsers raise
        table = json.loads(message[_LENGTH_BYTES : _LENGTH_BYTES + length])
        meta = json.loads(table.pop("__metadata__")[_META])
        values = (meta["round"], meta["client"], meta["n_examples"])
        layout = {name: (one["dtype"], tuple(one["shape"])) for name, one in table.items()}
    except (ValueError, KeyError, TypeError, AttributeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError("malformed", f"The message's header cannot be read: {error}.") from None
    if not all(type(value) is int for value in values):
        raise WireError("header_types", f"Round, client and example count must be integers, got {values}.")
    return Header(*values), layout


def decode(message: bytes) -> tuple[Header, dict[str, torch.Tensor]]:
    """The decoded copy of a message, tensors in its own order. Raises WireError: `malformed`."""
    header, layout = read_header(message)
    try:
        tensors = load(message)  # in an order that differs from call to call
        return header, {name: tensors[name] for name in layout}
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise WireError("malformed", f"The message cannot be decoded: {error}.") from None


def layout_of(tensors: Tensors) -> dict[str, tuple[str, tuple[int, ...]]]:
    """(safetensors dtype, shape) by name. Raises WireError for a dtype that does not travel."""
    for name, tensor in tensors.items():
        if tensor.dtype not in _DTYPES:
            raise WireError("dtype", f"`{name}` has dtype {tensor.dtype}, which cannot be sent.")
    return {name: (_DTYPES[tensor.dtype], tuple(tensor.shape)) for name, tensor in tensors.items()}


def admit(message: bytes, *, expected: Tensors, header: Header) -> Update:
    """The gate in front of `aggregate`: the decoded update that is exactly what was asked for.

    Args:
        message: the encoded update.
        expected: names, shapes and dtypes that the update must have.
        header: the round and client that were asked, and the most examples that the client can have.

    Raises:
        WireError: its `code` is the quarantine reason.
    """
    wanted = layout_of(expected)
    size_bound = tensor_bytes(expected) + (1 << 16) + 256 * len(wanted)
    if len(message) > size_bound:
        raise WireError("oversized", f"{len(message)} bytes where at most {size_bound} can be right.")
    got, layout = read_header(message)
    if got.round_index != header.round_index:
        raise WireError("wrong_round", f"Update of round {got.round_index} in round {header.round_index}.")
    if got.client_id != header.client_id:
        raise WireError("wrong_client", f"Update of client {got.client_id} where {header.client_id} was asked.")
    if not 0 < got.n_examples <= header.n_examples:
        raise WireError("n_examples", f"Example count {got.n_examples} is not within 1 to {header.n_examples}.")
    if missing := wanted.keys() - layout.keys():
        raise WireError("missing_key", f"Tensor `{min(missing)}` is missing.")
    if extra := layout.keys() - wanted.keys():
        raise WireError("unknown_key", f"Tensor `{min(extra)}` was not asked for.")
    for name, (dtype, shape) in wanted.items():
        if layout[name][0] != dtype:
            raise WireError("dtype", f"`{name}` has dtype {layout[name][0]}, expected {dtype}.")
        if layout[name][1] != shape:
            raise WireError("shape", f"`{name}` has shape {layout[name][1]}, expected {shape}.")
    return Update(decode(message)[1], got.n_examples)


def check_values(tensors: Tensors, sent: Tensors, max_norm: float | None) -> None:
    """The gate's second half, behind decompression: values are finite and the change is bounded.

    Args:
        tensors: the update.
        sent: what the client received.
        max_norm: bound on the Euclidean norm of the change: of the update minus what was sent under the same names.

    Raises:
        WireError: `not_finite` or `norm`.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise WireError("not_finite", f"`{name}` holds NaN or infinity.")
    if max_norm is not None:
        norm = _norm_of_change(tensors, sent)
        if not norm <= max_norm:
            raise WireError("norm", f"The norm of the change is {norm:.4g}, at most {max_norm:.4g} is allowed.")


def _norm_of_change(tensors: Tensors, sent: Tensors) -> float:
    changes = (
        tensor.double() - sent[name].double() if name in sent and sent[name].shape == tensor.shape else tensor.double()
        for name, tensor in tensors.items()
        if tensor.is_floating_point()
    )
    return math.sqrt(sum(float(torch.linalg.vector_norm(change)) ** 2 for change in changes))
