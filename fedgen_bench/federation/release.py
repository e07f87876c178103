"""Between the gate and `aggregate`: a mechanism makes one change of a round's, and the strategy is told one update."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from fedgen_bench.base.errors import PluginError
from fedgen_bench.base.guards import guarded
from fedgen_bench.contract.mechanisms import Change, MechanismContext, Released, Sampling
from fedgen_bench.contract.messages import Update
from fedgen_bench.federation.compression import other_layout
from fedgen_bench.suite.mechanisms import guaranteed

if TYPE_CHECKING:
    from fedgen_bench.contract.contexts import RoundContext
    from fedgen_bench.contract.data import Tensors
    from fedgen_bench.contract.protocols import Strategy
    from fedgen_bench.contract.reports import LedgerEntry, Privacy
    from fedgen_bench.federation.exchange import Admitted


@dataclass(frozen=True)
class Behind:
    """The state of a strategy, and that of the mechanism that it stands behind."""

    strategy: Any
    mechanism: Any


def own(state: Any) -> Any:
    """The strategy's own state."""
    return state.strategy if isinstance(state, Behind) else state


@dataclass(frozen=True)
class Release:
    """A cell's mechanism, and who is asked in its rounds.

    Args:
        carries: see `MechanismSpec`.
    """

    mechanism: Any
    sampling: Sampling
    carries: bool = False

    def first(self, state: Any) -> Behind:
        """The state before the first round; `state` is the strategy's."""
        with self._guarded("init"):
            return Behind(state, self.mechanism.init(self.sampling))

    def aggregated(
        self, strategy: Strategy, state: Behind, updates: Iterable[Admitted], ctx: RoundContext
    ) -> tuple[Behind, tuple[LedgerEntry, ...]]:
        """The state after a round, and the messages that the mechanism had carried.

        Raises:
            PluginError: a release of other tensors than changed.
        """
        gathered = _Gathered()
        here = self._here(ctx)
        with self._guarded("release", state=state.mechanism):
            released = self.mechanism.release(state.mechanism, gathered.changes(updates), here)
        if not isinstance(released, Released):
            raise PluginError(f"{self._name}.release gave a {type(released).__name__}. Return a `Released`.")
        if problem := other_layout(released.tensors, gathered.layout):
            raise PluginError(f"{self._name}.release gives {problem}. Release what clients changed.")
        one = Update({name: _moved(base, released.tensors[name]) for name, base in gathered.received.items()}, 1)
        after = strategy.aggregate(state.strategy, iter([one]), ctx)
        return Behind(after, released.state), self._messages(numbers_in(gathered.layout), gathered.answered, here)

    def forecast(self, n_numbers: int, ctx: RoundContext) -> tuple[LedgerEntry, ...]:
        """The messages of a round in which everybody answers, with so many numbers in an update."""
        return self._messages(n_numbers, ctx.cohort, self._here(ctx))

    def _here(self, ctx: RoundContext) -> MechanismContext:
        return MechanismContext(ctx.round_index, ctx.cohort, self.sampling, ctx.seeds)

    def _messages(self, n_numbers: int, answered: Collection[int], ctx: MechanismContext) -> tuple[LedgerEntry, ...]:
        """What clients and server send each other in the place of updates; nothing where these travel."""
        if not self.carries:
            return ()
        with self._guarded("messages"):
            return tuple(self.mechanism.messages(n_numbers, answered, ctx))

    @property
    def privacy(self) -> Privacy | None:
        """What a run guarantees; None where it guarantees nothing."""
        return guaranteed(self.mechanism, self.sampling)

    @property
    def _name(self) -> str:
        return type(self.mechanism).__name__

    def _guarded(self, method: str, **watched: Any) -> Any:
        return guarded(f"{self._name}.{method}", **watched)


class _Gathered:
    """What a round's updates have in common, and whose they are, as they stream by."""

    def __init__(self) -> None:
        self.received: dict[str, torch.Tensor] = {}
        self.layout: dict[str, torch.Tensor] = {}
        self.answered: list[int] = []

    def changes(self, updates: Iterable[Admitted]) -> Iterator[Change]:
        """The changes, one by one. Raises PluginError for what was not sent to all clients alike."""
        for update in updates:
            if not self.answered:
                self.received = {name: _sent(name, update) for name in update.tensors}
            for name, base in self.received.items():
                if _sent(name, update) is not base and not _sent(name, update).equal(base):
                    raise PluginError(
                        f"Client {update.client_id} was sent another `{name}` than client {self.answered[0]}, so their "
                        "changes have no mean. A mechanism needs a strategy that sends everybody the same."
                    )
            changed = {name: _minus(tensor, self.received[name]) for name, tensor in update.tensors.items()}
            self.layout = self.layout or changed
            self.answered.append(update.client_id)
            client_id = update.client_id
            del update  # its memory is free while the next client is trained
            yield Change(client_id, changed)
            del changed


def _sent(name: str, update: Admitted) -> torch.Tensor:
    base, tensor = update.received.get(name), update.tensors[name]
    if base is None or base.shape != tensor.shape or not tensor.is_floating_point():
        raise PluginError(
            f"`{name}` is sent back and was not received as such, so nobody can say what client {update.client_id} "
            "changed. A mechanism needs a strategy that sends what it wants back, in floating point."
        )
    return base


def _minus(tensor: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
    wide = torch.float64 if tensor.dtype == torch.float64 else torch.float32
    return tensor.to(wide) - base.to(wide)


def _moved(base: torch.Tensor, change: torch.Tensor) -> torch.Tensor:
    return (base.to(change.dtype) + change).to(base.dtype)


def numbers_in(tensors: Tensors) -> int:
    """Numbers in an update of this layout."""
    return sum(tensor.numel() for tensor in tensors.values())
