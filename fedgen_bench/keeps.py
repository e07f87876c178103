"""Clients' private states: in memory up to a bound, then read back from the round files that the store keeps."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import safe_open
from safetensors.torch import save

from fedgen_bench.wire import owned, tensor_bytes

if TYPE_CHECKING:
    from fedgen_bench.records import Tensors

DEFAULT_BOUND_BYTES = 512 << 20


def encode_keeps(keeps: Mapping[int, Tensors]) -> bytes:
    """One round's private states, by client."""
    flat = {f"{client}/{name}": tensor for client, keep in keeps.items() for name, tensor in keep.items()}
    content: bytes = save(owned(flat))
    return content


class KeepStore:
    """The latest private state of every client.

    Args:
        file_of: path of the keep file of a round.
        rounds: client -> the round that wrote its latest state.
    """

    def __init__(
        self, file_of: Callable[[int], Path], rounds: Mapping[int, int], bound_bytes: int = DEFAULT_BOUND_BYTES
    ) -> None:
        self._file_of, self._rounds, self._bound = file_of, dict(rounds), bound_bytes
        self._memory: OrderedDict[int, Tensors] = OrderedDict()
        self._held_bytes = 0

    def get(self, client_id: int) -> Tensors:
        """The client's private state; empty before its first."""
        if client_id in self._memory:
            self._memory.move_to_end(client_id)
            return self._memory[client_id]
        if client_id not in self._rounds:
            return {}
        prefix = f"{client_id}/"
        with safe_open(self._file_of(self._rounds[client_id]), framework="pt") as handle:
            keep = {
                name.removeprefix(prefix): handle.get_tensor(name)
                for name in handle.keys()  # noqa: SIM118 - the handle is no mapping
                if name.startswith(prefix)
            }
        self._hold(client_id, keep)
        return keep

    def put(self, round_index: int, keeps: Mapping[int, Tensors]) -> None:
        """Take over what a committed round wrote."""
        for client_id, keep in keeps.items():
            self._rounds[client_id] = round_index
            self._hold(client_id, keep)

    def _hold(self, client_id: int, keep: Tensors) -> None:
        if client_id in self._memory:
            self._held_bytes -= tensor_bytes(self._memory.pop(client_id))
        self._memory[client_id] = keep
        self._held_bytes += tensor_bytes(keep)
        while self._held_bytes > self._bound and len(self._memory) > 1:
            _, dropped = self._memory.popitem(last=False)
            self._held_bytes -= tensor_bytes(dropped)
