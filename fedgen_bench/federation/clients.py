"""A client's part of a round as data: its task, its outcome, and what another process builds the same work from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fedgen_bench.contract.data import Tensors
from fedgen_bench.registry.datasets import Places

if TYPE_CHECKING:
    from fedgen_bench.suite.cells import RunSpec


@dataclass(frozen=True)
class Blueprint:
    """What another process needs to build the same `ClientWork`."""

    spec: RunSpec
    device: str
    data: Places = field(default_factory=Places)
    plugin_files: tuple[str, ...] = ()

    @property
    def threads(self) -> int:
        """Threads that torch may use for one client."""
        return self.spec.config.training.threads


@dataclass(frozen=True)
class ClientTask:
    """One client's part of a round.

    Args:
        message: the encoded payload; None when nothing was sent.
        like: layout of the payload's tensors before compression (values are not used).
        keep: the client's private state, the core's part of it included.
        kept_in: see `ClientContext`.
        merges: updates of the backbone that the client has already; the message has the later ones.
    """

    round_index: int
    client_id: int
    message: bytes | None
    like: Tensors
    keep: Tensors
    kept_in: int = -1
    merges: tuple[Tensors, ...] = ()


@dataclass(frozen=True)
class ClientOutcome:
    """What came back, and figures. No message: nothing is sent. No keep: the private state stays as it is."""

    client_id: int
    message: bytes | None
    n_examples: int
    keep: Tensors | None
    mean_loss: float
    batch_digest: str


def own_part(keep: Tensors) -> Tensors:
    """A strategy's part of a private state; names that begin with # are the core's."""
    return {name: tensor for name, tensor in keep.items() if not name.startswith("#")}
