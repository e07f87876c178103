"""For authors of engines: a client's part of a round and a measurement as data, what works them off, and engines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from fedgen_bench.contract.data import Tensors
    from fedgen_bench.contract.messages import Fit, Message


@dataclass(frozen=True, kw_only=True)
class ClientTask:
    """One client's part of a round.

    Args:
        message: the encoded payload (`bytes()` gives it in one piece); None when nothing was sent.
        like: layout of the payload's tensors before compression (values are not used).
        keep: the client's private state, the core's part of it included.
        kept_in: see `ClientContext`.
        merges: updates of the backbone that the client has already; the message has the later ones.
        local_steps: the step budget of one fit, where it is less than the suite's; else None.
    """

    round_index: int
    client_id: int
    message: Message | bytes | None
    like: Tensors
    keep: Tensors
    kept_in: int = -1
    merges: tuple[Tensors, ...] = ()
    local_steps: int | None = None


@dataclass(frozen=True, kw_only=True)
class ClientOutcome:
    """What came back, and figures. No message: nothing is sent. No keep: the private state stays as it is.

    Args:
        n_steps: local steps of all of the client's fits; 0 where nobody says.
    """

    client_id: int
    message: bytes | None
    n_examples: int
    keep: Tensors | None
    mean_loss: float
    batch_digest: str
    n_steps: int = 0


@dataclass(frozen=True, kw_only=True)
class EvaluationTask:
    """A model to be measured, as it is or after a client has trained it.

    Args:
        fit: the model (`start` and `merges`), and how the client trains it first.
        n_steps: of that training; none when 0.
        learning_rate: of that training; the contender's when None.
        anchor: what is measured lies between these tensors and the trained ones, anchor + share x (trained - anchor);
            the trained ones when None.
        share: see `anchor`.
        round_index: of its random streams.
        client_id: whose held-out tail it is measured on, and whose examples it is trained on; None for `split`.
        split: what a model of no client is measured on, see `Task.split`.
        metrics: those that are wanted; all of the suite's when None.
        secrets: numbers of planted secrets: what is measured is what the model gives away of them, and nothing else.
    """

    fit: Fit
    n_steps: int = 0
    learning_rate: float | None = None
    anchor: Tensors | None = None
    share: float = 1.0
    round_index: int = -1
    client_id: int | None = None
    split: str = ""
    metrics: tuple[str, ...] | None = None
    secrets: tuple[int, ...] = ()


class Work(Protocol):
    """Works off the client tasks of one cell, in this process."""

    @property
    def blueprint(self) -> Any:
        """What another process builds the same from (`authors.engines.open_work`); None where there is none."""

    def run(self, task: ClientTask) -> ClientOutcome:
        """The outcome of a task. What the client's part of a method gets wrong, or a loss that diverged is raised."""

    def run_each(self, tasks: Iterable[ClientTask]) -> Iterator[ClientOutcome]:
        """Outcomes in the order of the tasks, as `run` gives them: several at a time where `--cohort` asks for it."""

    def evaluate_each(self, tasks: Iterable[EvaluationTask]) -> Iterator[Mapping[str, float]]:
        """Metrics by name, in the order of the tasks. A loss or a metric that is not finite is raised."""


class Engine(Protocol):
    """Runs client tasks somewhere; used for one cell after the other and closed at the end."""

    def run(self, tasks: Iterable[ClientTask], work: Work) -> Iterator[ClientOutcome]:
        """Outcomes in the order of the tasks, which are pure: one that was lost is run again elsewhere.

        Where `work` cannot be used, `fedgen_bench.authors.engines.open_work(work.blueprint)` builds it anew.
        """

    def close(self) -> None:
        """Give back processes and connections."""


@runtime_checkable
class Evaluating(Protocol):
    """What an engine has besides where its workers measure models, too; without it the coordinator does."""

    def evaluate(self, tasks: Iterable[EvaluationTask], work: Work) -> Iterator[Mapping[str, float]]:
        """Metrics in the order of the tasks, which are pure, too, as `work.evaluate_each` gives them."""
