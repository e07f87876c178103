"""Tasks and what comes of them on the way to another process and back: tensors are bytes there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load

from fedgen_bench.contract.engines import ClientOutcome, ClientTask, EvaluationTask
from fedgen_bench.contract.messages import Fit, Message, Proximal
from fedgen_bench.federation.envelope import head_bytes
from fedgen_bench.federation.pieces import pieces

if TYPE_CHECKING:
    from fedgen_bench.contract.data import Tensors
    from fedgen_bench.federation.blueprint import Blueprint


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
    local_steps: int | None
    others: tuple[PackedTask, ...] = ()


@dataclass(frozen=True)
class PackedOutcome:
    """A `ClientOutcome` beside its private state as bytes, and the answers to what was worked off with it."""

    outcome: ClientOutcome
    keep: bytes | None
    others: tuple[PackedOutcome | Exception, ...] = ()


@dataclass(frozen=True)
class PackedEvaluation:
    """An `EvaluationTask` whose tensors are bytes, with what the work that runs it is built from.

    Args:
        task: without the tensors.
        body: the model's tensors; equal where one model is measured on several data.
        pulls: those of the penalty's anchor, of the correction, and of what is measured near to, as `anchor/<name>`,
            `correction/<name>` and `near/<name>`.
        others: tasks that are worked off with it, in one pass where that can be.
    """

    blueprint: Blueprint
    task: EvaluationTask
    body: bytes
    merges: tuple[bytes, ...]
    pulls: bytes
    others: tuple[PackedEvaluation, ...] = ()


@dataclass(frozen=True)
class PackedMetrics:
    """Metrics by name, and the answers to what was worked off with them."""

    metrics: Mapping[str, float]
    others: tuple[PackedMetrics | Exception, ...] = ()


Packed = PackedTask | PackedEvaluation
Answer = PackedOutcome | PackedMetrics | Exception


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
        task.local_steps,
    )


def unpack(task: PackedTask) -> ClientTask:
    """The task with its tensors."""
    return ClientTask(
        round_index=task.round_index,
        client_id=task.client_id,
        message=None if task.head is None else Message(task.head, task.body),
        like={name: torch.zeros((), dtype=dtype).expand(shape) for name, (dtype, shape) in task.like.items()},
        keep=_load(task.keep),
        kept_in=task.kept_in,
        merges=tuple(map(_load, task.merges)),
        local_steps=task.local_steps,
    )


def pack_outcome(outcome: ClientOutcome) -> PackedOutcome:
    """The outcome as bytes."""
    keep = None if outcome.keep is None else _save(outcome.keep)
    return PackedOutcome(replace(outcome, keep=None), keep)


def unpack_outcome(packed: PackedOutcome) -> ClientOutcome:
    """The outcome with its private state."""
    return packed.outcome if packed.keep is None else replace(packed.outcome, keep=_load(packed.keep))


_ANCHOR, _CORRECTION, _NEAR = "anchor/", "correction/", "near/"


def pack_evaluation(task: EvaluationTask, blueprint: Blueprint) -> PackedEvaluation:
    """The task as bytes, for a worker that has or builds the work of `blueprint`."""
    fit, penalty = task.fit, task.fit.penalty
    anchor = {} if penalty is None or penalty.anchor is None else penalty.anchor
    pulls = _named(_ANCHOR, anchor) | _named(_CORRECTION, fit.correction or {}) | _named(_NEAR, task.anchor or {})
    bare = replace(
        fit,
        start={},
        penalty=None if penalty is None else Proximal(penalty.mu, {} if anchor else None),
        correction=None if fit.correction is None else {},
        merges=(),
    )
    merges = tuple(map(_save, fit.merges))
    bare_task = replace(task, fit=bare, anchor=None if task.anchor is None else {})
    return PackedEvaluation(blueprint, bare_task, _save(fit.start), merges, _save(pulls))


def unpack_evaluation(packed: PackedEvaluation) -> EvaluationTask:
    """The task with its tensors."""
    fit, pulls = packed.task.fit, _load(packed.pulls)
    penalty = fit.penalty
    if penalty is not None and penalty.anchor is not None:
        penalty = Proximal(penalty.mu, _under(_ANCHOR, pulls))
    whole = Fit(
        _load(packed.body),
        fit.trainable,
        penalty,
        None if fit.correction is None else _under(_CORRECTION, pulls),
        fit.n_steps,
        tuple(map(_load, packed.merges)),
    )
    anchor = None if packed.task.anchor is None else _under(_NEAR, pulls)
    return replace(packed.task, fit=whole, anchor=anchor)


def _named(prefix: str, tensors: Tensors) -> dict[str, torch.Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def _under(prefix: str, tensors: Tensors) -> Tensors:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
