"""For authors of engines: a client's part of a round as data, what works it off, and what an engine is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from fedgen_bench.contract.data import Tensors
    from fedgen_bench.contract.messages import Message


@dataclass(frozen=True, kw_only=True)
class ClientTask:
    """One client's part of a round.

    Args:
        message: the encoded payload (`bytes()` gives it in one piece); None when nothing was sent.
        like: layout of the payload's tensors before compression (values are not used).
        keep: the client's private state, the core's part of it included.
        kept_in: see `ClientContext`.
        merges: updates of the backbone that the client has already; the message has the later ones.
    """

    round_index: int
    client_id: int
    message: Message | bytes | None
    like: Tensors
    keep: Tensors
    kept_in: int = -1
    merges: tuple[Tensors, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ClientOutcome:
    """What came back, and figures. No message: nothing is sent. No keep: the private state stays as it is."""

    client_id: int
    message: bytes | None
    n_examples: int
    keep: Tensors | None
    mean_loss: float
    batch_digest: str


class Work(Protocol):
    """Works off the client tasks of one cell, in this process."""

    @property
    def blueprint(self) -> Any:
        """What another process builds the same from (`authors.engines.open_work`); None where there is none."""

    def run(self, task: ClientTask) -> ClientOutcome:
        """The outcome of a task. What the client's part of a method gets wrong, or a loss that diverged is raised."""

    def run_each(self, tasks: Iterable[ClientTask]) -> Iterator[ClientOutcome]:
        """Outcomes in the order of the tasks, as `run` gives them: several at a time where `--cohort` asks for it."""


class Engine(Protocol):
    """Runs client tasks somewhere; used for one cell after the other and closed at the end."""

    def run(self, tasks: Iterable[ClientTask], work: Work) -> Iterator[ClientOutcome]:
        """Outcomes in the order of the tasks, which are pure: one that was lost is run again elsewhere.

        Where `work` cannot be used, `fedgen_bench.authors.engines.open_work(work.blueprint)` builds it anew.
        """

    def close(self) -> None:
        """Give back processes and connections."""
