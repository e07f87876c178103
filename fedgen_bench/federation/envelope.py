"""An encoded message as it arrives: its head read and held against its length, its tensors views of its own bytes."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from fedgen_bench.base.errors import WireError
from fedgen_bench.contract.messages import Header, Message
from fedgen_bench.federation.pieces import DTYPES

Layout = Mapping[str, tuple[str, tuple[int, ...]]]

META = "fedgen"
_LENGTH_BYTES = 8
_DTYPES = {name: dtype for dtype, name in DTYPES.items()}

with warnings.catch_warnings():  # torch says once a process that bytes must not be written to
    warnings.simplefilter("ignore")
    torch.frombuffer(b"\0", dtype=torch.uint8)


@dataclass(frozen=True)
class Envelope:
    """A message whose head was read.

    Args:
        layout: (dtype, shape) of every tensor, in the message's own order.
        offsets: where each stands in what follows the head, as the message says.
        content: holds the tensors, from `begin` on.
    """

    header: Header
    layout: Layout
    offsets: Mapping[str, Any]
    content: bytes
    begin: int

    def tensors(self) -> dict[str, torch.Tensor]:
        """The tensors in the message's order. They are views: what is written into them stands in the message.

        Raises:
            WireError: `malformed`, where tensors are not one behind the other to the end.
        """
        try:
            starts = self._starts()
            return {
                name: self._view(starts[name], _DTYPES[dtype], shape) for name, (dtype, shape) in self.layout.items()
            }
        except (ValueError, KeyError, TypeError, RuntimeError, OverflowError) as error:
            raise WireError("malformed", f"The message cannot be decoded: {error}.") from None

    def _starts(self) -> dict[str, int]:
        """Where each tensor begins in `content`. Raises ValueError, or what offsets of another kind raise."""
        places = {}
        for name, (dtype, shape) in self.layout.items():
            start, stop = self.offsets[name]
            if not all(type(number) is int and number >= 0 for number in (*shape, start, stop)):
                raise ValueError(f"`{name}` has odd numbers")
            width = _DTYPES[dtype].itemsize
            if stop - start != math.prod(shape) * width or (self.begin + start) % width:
                raise ValueError(f"`{name}` has odd offsets")
            places[name] = (self.begin + start, self.begin + stop)
        at = self.begin
        for start, stop in sorted(places.values()):
            if start != at:
                raise ValueError("tensors overlap or leave holes")
            at = stop
        if at != len(self.content):
            raise ValueError(f"{len(self.content)} bytes where {at} are told")
        return {name: start for name, (start, _) in places.items()}

    def _view(self, start: int, dtype: torch.dtype, shape: tuple[int, ...]) -> torch.Tensor:
        count = math.prod(shape)
        if not count:
            return torch.empty(shape, dtype=dtype)
        return torch.frombuffer(self.content, dtype=dtype, count=count, offset=start).view(shape)


def head_bytes(message: Message | bytes) -> int:
    """Length of what stands before the tensors in an encoded message, as the message itself says."""
    head = message.head if isinstance(message, Message) else message
    return _LENGTH_BYTES + int.from_bytes(head[:_LENGTH_BYTES], "little")


def opened(message: Message | bytes) -> Envelope:
    """Header and layout of a message; its tensors are not touched.

    Raises:
        WireError: `malformed` bytes; `header_types`.
    """
    head, content = (message.head, message.body) if isinstance(message, Message) else (message, message)
    begin = head_bytes(message)
    try:
        if len(head) < begin:
            raise ValueError("truncated header")  # noqa: TRY301 - joins what the parsers raise
        table = json.loads(head[_LENGTH_BYTES:begin])
        meta = json.loads(table.pop("__metadata__")[META])
        values = (meta["round"], meta["client"], meta["n_examples"])
        layout = {name: (one["dtype"], tuple(one["shape"])) for name, one in table.items()}
        offsets = {name: one["data_offsets"] for name, one in table.items()}
    except (ValueError, KeyError, TypeError, AttributeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError("malformed", f"The message's header cannot be read: {error}.") from None
    if not all(type(value) is int for value in values):
        raise WireError("header_types", f"Round, client and example count must be integers, got {values}.")
    return Envelope(Header(*values), layout, offsets, content, 0 if isinstance(message, Message) else begin)
