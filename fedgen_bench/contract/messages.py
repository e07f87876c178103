"""What server, clients and the trainer give each other: payloads, fits, reports of fits, updates. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fedgen_bench.contract.data import Tensors


@dataclass(frozen=True)
class Header:
    """The small typed header of every message."""

    round_index: int
    client_id: int
    n_examples: int


@dataclass(frozen=True)
class Message:
    """An encoded message in two parts: clients who are sent the same tensors share the bytes of these.

    Args:
        head: what the message says of itself; the only part that tells one client's from another's.
        body: the tensors, one behind the other.
    """

    head: bytes
    body: bytes

    def __len__(self) -> int:
        return len(self.head) + len(self.body)

    def __bytes__(self) -> bytes:
        return self.head + self.body


@dataclass(frozen=True)
class Payload:
    """What the server sends to one client.

    Args:
        tensors: the flat name -> tensor map that is encoded and booked.
        reply: names, shapes and dtypes that an update may carry back; `tensors` when None. Not sent.
        merges: every update of the backbone so far, oldest first, each a map of factors as in `Fit.merges`. Those that
            the client has not received yet are encoded and booked with `tensors`; its half is given all of them.
    """

    tensors: Tensors
    reply: Tensors | None = None
    merges: tuple[Tensors, ...] = ()


@dataclass(frozen=True)
class Update:
    """What a client returns. `tensors` is encoded and booked; empty means that nothing is sent.

    `keep` replaces the client's private state when it is not None.
    """

    tensors: Tensors
    n_examples: int
    keep: Tensors | None = None


@dataclass(frozen=True)
class Proximal:
    """The penalty mu/2 * ||y - anchor||^2 over the trainable tensors; `anchor` is the fit's start when None."""

    mu: float
    anchor: Tensors | None = None


@dataclass(frozen=True)
class Fit:
    """A request for local training.

    Args:
        start: tensors to begin from, exactly the adapter's trainable names. LoRA factors may have a lower rank than the
            adapter's; they are trained at that rank.
        trainable: the names to train; all when None.
        penalty: a proximal term added to the loss.
        correction: added to the gradient of each named tensor at every step (SCAFFOLD's c - c_k).
        n_steps: at most what is left of the round's budget; `ctx.local_steps` when None.
        merges: low-rank updates of the backbone, oldest first, each with tensors by the names of a module's factors:
            the module's frozen weight is W0 + sum of B A.
    """

    start: Tensors
    trainable: frozenset[str] | None = None
    penalty: Proximal | None = None
    correction: Tensors | None = None
    n_steps: int | None = None
    merges: tuple[Tensors, ...] = ()


@dataclass(frozen=True)
class Model:
    """What `Strategy.export` gives when the backbone was changed: the adapter's tensors, and merges as in `Fit`."""

    tensors: Tensors
    merges: tuple[Tensors, ...] = ()


@dataclass(frozen=True)
class FitReport:
    """What local training gave: detached copies of all trainable tensors, in the shapes of the start, and figures."""

    tensors: Tensors
    n_examples: int
    n_steps: int
    mean_loss: float
    batch_digest: str
