"""Clients' private states: in memory up to a bound, then read back from the files that the store keeps.

A round writes one file at most. It takes over what is in smaller files before it, so that there are few files however
many rounds there were, and a state is rewritten a logarithmic number of times.
"""

from __future__ import annotations

import json
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import safe_open

from fedgen_bench.federation.pieces import pieces
from fedgen_bench.federation.wire import tensor_bytes

if TYPE_CHECKING:
    import torch

    from fedgen_bench.contract.data import Tensors

DEFAULT_BOUND_BYTES = 512 << 20
_CLIENTS = "clients"


def own_part(keep: Tensors) -> Tensors:
    """A strategy's part of a private state; names that begin with # are the core's."""
    return {name: tensor for name, tensor in keep.items() if not name.startswith("#")}


def encode_keeps(keeps: Mapping[int, Tensors]) -> bytes:
    """Private states as a file has them, by client."""
    flat = {f"{client}/{name}": tensor for client, keep in keeps.items() for name, tensor in keep.items()}
    return pieces(flat).whole(**{_CLIENTS: json.dumps(sorted(keeps))})


def decode_keeps(path: Path, wanted: Iterable[int]) -> dict[int, Tensors]:
    """The states of some clients from a file; one that has nothing in it is empty."""
    keeps: dict[int, dict[str, torch.Tensor]] = {client: {} for client in wanted}
    with safe_open(path, framework="pt") as handle:
        for key in handle.keys():  # noqa: SIM118 - the handle is no mapping
            client, _, name = key.partition("/")
            if int(client) in keeps:
                keeps[int(client)][name] = handle.get_tensor(key)
    return dict(keeps)


def _clients_in(path: Path) -> set[int]:
    with safe_open(path, framework="pt") as handle:
        return set(json.loads(handle.metadata()[_CLIENTS]))


@dataclass(frozen=True)
class Written:
    """What a round writes.

    Args:
        content: its file; None when it wrote nothing.
        clients: whose states are in it.
        older: earlier rounds whose files still count, ascending.
    """

    content: bytes | None
    clients: frozenset[int]
    older: tuple[int, ...]


class ClientStates:
    """The latest private state of every client.

    Args:
        file_of: path of the keep file of a round.
        rounds: those whose files count, ascending; of a client the last one that has it.
        bound_bytes: of states in memory, and of the files that a round takes over.
    """

    def __init__(
        self, file_of: Callable[[int], Path], rounds: Sequence[int] = (), bound_bytes: int = DEFAULT_BOUND_BYTES
    ) -> None:
        self._file_of, self._bound = file_of, bound_bytes
        self._files = tuple(rounds)
        self._round_of: dict[int, int] = {}
        self._live: dict[int, set[int]] = {}  # by round, the clients whose latest state is in its file
        for at in rounds:
            self._note(at, _clients_in(file_of(at)))
        self._memory: OrderedDict[int, Tensors] = OrderedDict()
        self._held_bytes = 0

    def get(self, client_id: int) -> Tensors:
        """The client's private state; empty before its first."""
        if client_id in self._memory:
            self._memory.move_to_end(client_id)
            return self._memory[client_id]
        if client_id not in self._round_of:
            return {}
        keep = decode_keeps(self._file_of(self._round_of[client_id]), [client_id])[client_id]
        self._hold(client_id, keep)
        return keep

    def written(self, keeps: Mapping[int, Tensors]) -> Written:
        """What a round that gave these states writes."""
        renewed = Counter(self._round_of[client] for client in keeps if client in self._round_of)
        older = [at for at in self._files if len(self._live[at]) > renewed[at]]
        if not keeps:
            return Written(None, frozenset(), tuple(older))
        merged = dict(keeps)
        content = encode_keeps(merged)
        while older:
            path = self._file_of(older[-1])
            if path.stat().st_size > min(self._bound, len(content)):
                break
            merged = decode_keeps(path, self._live[older.pop()] - keeps.keys()) | merged
            content = encode_keeps(merged)
        return Written(content, frozenset(merged), tuple(older))

    def put(self, round_index: int, keeps: Mapping[int, Tensors], written: Written) -> None:
        """Take over what a committed round wrote."""
        self._files = written.older if written.content is None else (*written.older, round_index)
        self._note(round_index, written.clients)
        self._live = {at: self._live[at] for at in self._files}
        for client_id, keep in keeps.items():
            self._hold(client_id, keep)

    def _note(self, round_index: int, clients: Iterable[int]) -> None:
        """The latest states of these clients are in this round's file."""
        for client in clients:
            if client in self._round_of:
                self._live[self._round_of[client]].discard(client)
            self._round_of[client] = round_index
        self._live[round_index] = set(clients)

    def _hold(self, client_id: int, keep: Tensors) -> None:
        if client_id in self._memory:
            self._held_bytes -= tensor_bytes(self._memory.pop(client_id))
        self._memory[client_id] = held = {name: _alone(tensor) for name, tensor in keep.items()}
        self._held_bytes += tensor_bytes(held)
        while self._held_bytes > self._bound and len(self._memory) > 1:
            _, dropped = self._memory.popitem(last=False)
            self._held_bytes -= tensor_bytes(dropped)


def _alone(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor, and in no case the message that it was received in."""
    return tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()
