"""Client work in another process: tensors cross as bytes, errors as themselves, and a cell is built once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load

from fedgen_bench.base.failures import portable
from fedgen_bench.base.processes import keep_freed_memory
from fedgen_bench.contract.engines import ClientOutcome, ClientTask
from fedgen_bench.contract.messages import Message
from fedgen_bench.federation.assembly import open_loader, open_work
from fedgen_bench.federation.envelope import head_bytes
from fedgen_bench.federation.pieces import pieces

if TYPE_CHECKING:
    from fedgen_bench.contract.data import Tensors
    from fedgen_bench.federation.blueprint import Blueprint
    from fedgen_bench.federation.client_work import ClientWork
    from fedgen_bench.federation.loader import Loader
    from fedgen_bench.registry.datasets import Places


@dataclass(frozen=True)
class PackedTask:
    """A `ClientTask` whose tensors are bytes, with what the work that runs it is built from.

    Args:
        head, body: the message cut behind its header; clients that are sent the same tensors have equal bodies.
        like: (dtype, shape) by name.
        others: tasks that are worked off with it, in one pass where that can be.
    """

    blueprint: Blueprint
    round_index: int
    client_id: int
    head: bytes | None
    body: bytes
    like: Mapping[str, tuple[torch.dtype, tuple[int, ...]]]
    keep: bytes
    kept_in: int
    merges: tuple[bytes, ...]
    others: tuple[PackedTask, ...] = ()


@dataclass(frozen=True)
class PackedOutcome:
    """A `ClientOutcome` beside its private state as bytes, and the answers to what was worked off with it."""

    outcome: ClientOutcome
    keep: bytes | None
    others: tuple[PackedOutcome | Exception, ...] = ()


Answer = PackedOutcome | Exception


def _save(tensors: Tensors) -> bytes:
    return pieces(tensors).whole() if tensors else b""


def _load(content: bytes) -> Tensors:
    return load(content) if content else {}


def pack(task: ClientTask, blueprint: Blueprint) -> PackedTask:
    """The task as bytes, for a worker that has or builds the work of `blueprint`."""
    message = task.message
    if isinstance(message, bytes):
        cut = head_bytes(message)
        message = Message(message[:cut], message[cut:])
    return PackedTask(
        blueprint,
        task.round_index,
        task.client_id,
        None if message is None else message.head,
        b"" if message is None else message.body,
        {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in task.like.items()},
        _save(task.keep),
        task.kept_in,
        tuple(map(_save, task.merges)),
    )


def _unpack(task: PackedTask) -> ClientTask:
    return ClientTask(
        round_index=task.round_index,
        client_id=task.client_id,
        message=None if task.head is None else Message(task.head, task.body),
        like={name: torch.zeros((), dtype=dtype).expand(shape) for name, (dtype, shape) in task.like.items()},
        keep=_load(task.keep),
        kept_in=task.kept_in,
        merges=tuple(map(_load, task.merges)),
    )


def unpack_outcome(packed: PackedOutcome) -> ClientOutcome:
    """The outcome with its private state."""
    return packed.outcome if packed.keep is None else replace(packed.outcome, keep=_load(packed.keep))


class Workshop:
    """What a worker process holds: a cell's work, and the tasks and splits that cells share."""

    def __init__(self) -> None:
        keep_freed_memory()
        self._blueprint: Blueprint | None = None
        self._work: ClientWork
        self._source: tuple[Places, tuple[str, ...]] | None = None
        self._loader: Loader

    def answer(self, task: PackedTask) -> Answer:
        """The outcome of a task and of those with it, or the error that the coordinator shall raise."""
        first, *others = self._answers(task)
        return replace(first, others=tuple(others)) if isinstance(first, PackedOutcome) else first

    def _answers(self, task: PackedTask) -> Iterator[Answer]:
        """In the order of the tasks, to the first error."""
        try:
            for outcome in self._open(task.blueprint).run_each(map(_unpack, (task, *task.others))):
                keep = None if outcome.keep is None else _save(outcome.keep)
                yield PackedOutcome(replace(outcome, keep=None), keep)
        except Exception as error:  # noqa: BLE001 - the coordinator decides what it means
            yield portable(error)

    def _open(self, blueprint: Blueprint) -> ClientWork:
        source = (blueprint.data, blueprint.plugin_files)
        if source != self._source:
            self._loader, self._source = open_loader(blueprint), source
        if blueprint != self._blueprint:
            self._work, self._blueprint = open_work(blueprint, self._loader), blueprint
        return self._work
