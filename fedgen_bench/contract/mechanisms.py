"""For authors of privacy mechanisms: what makes one change of a round's, and what it guarantees. Imports no torch."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch

    from fedgen_bench.contract.data import Tensors
    from fedgen_bench.contract.reports import LedgerEntry, Privacy
    from fedgen_bench.contract.seeds import SeedTree


@dataclass(frozen=True)
class Sampling:
    """Who is asked: `cohort` of `population` clients, drawn without replacement, anew in each of `rounds` rounds."""

    population: int
    cohort: int
    rounds: int


@dataclass(frozen=True)
class Change:
    """What a client changed: its update minus what it had received, by name, in fp32 (fp64 stays)."""

    client_id: int
    tensors: Tensors


@dataclass(frozen=True)
class Released:
    """What the server learns of a round.

    Args:
        tensors: one change in the place of all, by their names and in their shapes: the server goes on as if a single
            client had sent what it received plus this.
        state: the mechanism's next state.
    """

    tensors: Tensors
    state: Any


@dataclass(frozen=True)
class MechanismContext:
    """A round as a mechanism sees it; `asked` are the cohort's client ids, ascending, whoever answers."""

    round_index: int
    asked: tuple[int, ...]
    sampling: Sampling
    seeds: SeedTree

    def generator(self, purpose: str) -> torch.Generator:
        """A torch stream of the mechanism's own in this round."""
        return self.seeds.torch("mechanism", round_index=self.round_index, purpose=purpose)

    def key(self, purpose: str, client_id: int = -1) -> int:
        """128 bits of the mechanism's own in this round."""
        return self.seeds.key("mechanism", round_index=self.round_index, client_id=client_id, purpose=purpose)


class Mechanism(Protocol):
    """Stands between the gate and a strategy that averages, and lets one change of a round through."""

    def init(self, sampling: Sampling) -> Any:
        """The state before the first round: a frozen dataclass of tensors, maps, numbers; the core checkpoints it.

        Raises ValueError, in a sentence for what is wrong and one for what to do, when it cannot work so.
        """

    def release(self, state: Any, changes: Iterable[Change], ctx: MechanismContext) -> Released:
        """One change out of a round's. `changes` streams in ascending client id; at least one arrives."""


@runtime_checkable
class Accounting(Protocol):
    """What a mechanism has besides where it guarantees differential privacy."""

    def account(self, sampling: Sampling) -> Privacy | None:
        """What a run guarantees; None where it guarantees nothing. Raises ValueError as `Mechanism.init` does."""


@runtime_checkable
class Carrying(Protocol):
    """What a mechanism has besides where clients send messages of it in the place of their updates."""

    def messages(self, n_numbers: int, answered: Collection[int], ctx: MechanismContext) -> Iterable[LedgerEntry]:
        """Every message of a round as booked, each in a phase of its own.

        Args:
            n_numbers: numbers in an update.
            answered: clients whose change arrived.
            ctx: the round.
        """
