"""Tensors as safetensors has them, in pieces: what stands before them, and their own memory one behind the other.

The bytes are those of its library (https://github.com/huggingface/safetensors), which copies every tensor
twice and takes milliseconds for a handful; from pieces a message is one copy, and a file none.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from fedgen_bench.contract.data import Tensors

DTYPES = {  # in the order of a file, which goes by dtype first
    torch.uint64: "U64",
    torch.int64: "I64",
    torch.float64: "F64",
    torch.complex64: "C64",
    torch.float32: "F32",
    torch.uint32: "U32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.uint16: "U16",
    torch.int16: "I16",
    torch.float8_e5m2fnuz: "F8_E5M2FNUZ",
    torch.float8_e4m3fnuz: "F8_E4M3FNUZ",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_PLACES = {dtype: place for place, dtype in enumerate(DTYPES)}
_OPAQUE = {dtype for dtype, name in DTYPES.items() if name.startswith(("BF16", "F8"))}  # numpy has none of these
_text = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_ALIGNED_TO = 8


@dataclass(frozen=True)
class Pieces:
    """Tensors by name, laid out.

    Args:
        table: names, dtypes, shapes and places, as JSON.
        body: the tensors' memory as buffers, in the order of their places. Nothing is copied.
    """

    table: str
    body: tuple[Any, ...]

    def head(self, **metadata: str) -> bytes:
        """What stands before the tensors."""
        table = self.table
        if metadata:
            rest = f",{table[1:]}" if len(table) > len("{}") else "}"
            table = _text({"__metadata__": metadata})[:-1] + rest
        raw = table.encode()
        raw += b" " * (-len(raw) % _ALIGNED_TO)
        return len(raw).to_bytes(8, "little") + raw

    def whole(self, **metadata: str) -> bytes:
        """All of it as one file in memory."""
        return b"".join((self.head(**metadata), *self.body))


def pieces(tensors: Tensors) -> Pieces:
    """Tensors laid out: views and ties as what they show, those of other devices copied to the processor."""
    ordered = sorted(tensors.items(), key=lambda item: (_PLACES[item[1].dtype], item[0]))
    table = _table(tuple((name, tensor.dtype, tensor.shape) for name, tensor in ordered))
    return Pieces(table, tuple(_memory(tensor) for _, tensor in ordered))


@lru_cache(maxsize=64)
def _table(layout: tuple[tuple[str, torch.dtype, tuple[int, ...]], ...]) -> str:
    table, end = {}, 0
    for name, dtype, shape in layout:
        start, end = end, end + math.prod(shape) * dtype.itemsize
        table[name] = {"dtype": DTYPES[dtype], "shape": tuple(shape), "data_offsets": (start, end)}
    return _text(table)


def _memory(tensor: torch.Tensor) -> Any:
    if not tensor.is_cpu or tensor.requires_grad:
        tensor = tensor.detach().cpu()
    tensor = tensor.contiguous()
    return (tensor.reshape(-1).view(torch.uint8) if tensor.dtype in _OPAQUE else tensor).numpy()
