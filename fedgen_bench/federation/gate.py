"""The gate in front of `aggregate`: an update is exactly what was asked for, finite, and not too far away."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from fedgen_bench.base.errors import WireError
from fedgen_bench.contract.messages import Header, Update
from fedgen_bench.federation.changes import Changes, is_finite
from fedgen_bench.federation.envelope import opened
from fedgen_bench.federation.wire import layout_of, tensor_bytes

if TYPE_CHECKING:
    from fedgen_bench.contract.data import Tensors

_SURE = 0.99  # of the bound: below it, rounding decides nothing


def admit(message: bytes, *, expected: Tensors, header: Header) -> Update:
    """The gate's first half: the decoded update that is exactly what was asked for; its tensors are views of it.

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
    envelope = opened(message)
    got, layout = envelope.header, envelope.layout
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
    return Update(envelope.tensors(), got.n_examples)


def check_values(tensors: Tensors, received: Tensors, max_norm: float | None) -> Changes:
    """The gate's second half, behind decompression: values are finite and the change is bounded.

    Args:
        tensors: the update.
        received: what the client had received.
        max_norm: bound on the Euclidean norm of the change: of the update minus what was sent under the same names.

    Raises:
        WireError: `not_finite` or `norm`.
    """
    changes = Changes(tensors, received)
    others = {name: one for name, one in tensors.items() if name not in changes.pairs and one.is_floating_point()}
    for name, tensor in others.items() if math.isfinite(changes.norm) else tensors.items():
        if not is_finite(tensor):
            raise WireError("not_finite", f"`{name}` holds NaN or infinity.")
    if max_norm is not None and (others or not changes.norm < _SURE * max_norm):
        norm = _exact_norm(tensors, changes)
        if not norm <= max_norm:
            raise WireError("norm", f"The norm of the change is {norm:.4g}, at most {max_norm:.4g} is allowed.")
    return changes


def _exact_norm(tensors: Tensors, changes: Changes) -> float:
    """In double precision: what lies near the bound, or so far away that its squares are no numbers of fp32."""
    wide = (
        changes.pairs[name][0].double() - changes.pairs[name][1].double() if name in changes.pairs else tensor.double()
        for name, tensor in tensors.items()
        if tensor.is_floating_point()
    )
    return math.sqrt(sum(float(torch.linalg.vector_norm(change)) ** 2 for change in wide))
