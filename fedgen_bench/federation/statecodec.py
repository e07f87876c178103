"""Strategy states to tensors plus JSON and back, without pickle.

A state is a dataclass, mapping, sequence, tensor, number, string, boolean or None, nested at will.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load

from fedgen_bench.base.errors import PluginError, StoreError
from fedgen_bench.contract.data import Tensors
from fedgen_bench.federation.pieces import pieces

_META = "state"


def laid_out(state: Any) -> tuple[dict[str, torch.Tensor], str]:
    """A state's tensors by their paths, and how they are put together again.

    Raises:
        PluginError: the state holds something that cannot be stored.
    """
    tensors: dict[str, torch.Tensor] = {}

    def flat(value: Any, path: str) -> Any:
        if isinstance(value, torch.Tensor):
            while path in tensors:  # keys may hold the separator
                path += "'"
            tensors[path] = value
            return {"tensor": path}
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {
                "fields": {f.name: flat(getattr(value, f.name), f"{path}/{f.name}") for f in dataclasses.fields(value)}
            }
        if isinstance(value, Mapping) and all(isinstance(key, str | int) for key in value):
            return {"map": [[key, flat(inner, f"{path}/{key}")] for key, inner in value.items()]}
        if isinstance(value, list | tuple):
            return {
                "items": [flat(inner, f"{path}/{i}") for i, inner in enumerate(value)],
                "tuple": isinstance(value, tuple),
            }
        if value is None or isinstance(value, bool | int | float | str):
            return {"value": value}
        raise PluginError(
            f"A strategy's state holds a {type(value).__name__} at `{path}`. Keep tensors, maps, sequences and scalars."
        )

    skeleton = flat(state, "")
    return tensors, json.dumps(skeleton)


def state_file(tensors: Tensors, skeleton: str) -> tuple[Any, ...]:
    """A state that is laid out as buffers: joined, they are its file."""
    file = pieces(tensors)
    return file.head(**{_META: skeleton}), *file.body


def encode_state(state: Any) -> bytes:
    """The file in one piece. Raises as `laid_out`."""
    return b"".join(state_file(*laid_out(state)))


def decode_state(content: bytes, like: Any) -> Any:
    """The state; `like` is any state of the same strategy and tells the dataclasses' types.

    Raises:
        StoreError: the content is not a state.
    """
    try:
        tensors = load(content)
        length = int.from_bytes(content[:8], "little")
        skeleton = json.loads(json.loads(content[8 : 8 + length])["__metadata__"][_META])
        return _build(skeleton, tensors, like)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise StoreError(f"A checkpoint cannot be read: {error}.") from None


def _build(node: Mapping[str, Any], tensors: Mapping[str, torch.Tensor], like: Any) -> Any:
    if "tensor" in node:
        return tensors[node["tensor"]]
    if "value" in node:
        return node["value"]
    if "map" in node:
        known = like if isinstance(like, Mapping) else {}
        return {key: _build(inner, tensors, known.get(key)) for key, inner in node["map"]}
    if "items" in node:
        similar: Sequence[Any] = like if isinstance(like, list | tuple) else ()
        items = [
            _build(inner, tensors, similar[min(i, len(similar) - 1)] if similar else None)
            for i, inner in enumerate(node["items"])
        ]
        return tuple(items) if node["tuple"] else items
    fields = {name: _build(inner, tensors, getattr(like, name, None)) for name, inner in node["fields"].items()}
    return type(like)(**fields)
