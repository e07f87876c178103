"""What a strategy is told with every call: contexts of server, round and client. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from fedgen_bench.contract.data import Tensors
    from fedgen_bench.contract.seeds import SeedTree


@dataclass(frozen=True)
class LowRank:
    """One module's LoRA factors: its weight is W0 + scale * B A, whatever the rank.

    Args:
        module: the module's name in the backbone.
        a: name of A, of shape (rank, n_in), among the adapter's tensors.
        b: name of B, of shape (n_out, rank).
        rank: r of the adapter, or of the client that the context is about.
        scale: alpha / r.
    """

    module: str
    a: str
    b: str
    rank: int
    scale: float


@dataclass(frozen=True)
class ServerContext:
    """Given to `Strategy.init`. `n_clients` is the population, not the cohort; `low_rank` as in `ClientContext`."""

    n_clients: int
    clients_per_round: int
    seeds: SeedTree
    low_rank: tuple[LowRank, ...] = ()

    def generator(self) -> torch.Generator:
        """The strategy's own noise on the server before the first round."""
        return self.seeds.torch("strategy", purpose="init")


@dataclass(frozen=True)
class RoundContext:
    """Given to `Strategy.aggregate`. `cohort` holds the sampled client ids, ascending."""

    round_index: int
    cohort: tuple[int, ...]
    n_clients: int
    seeds: SeedTree
    low_rank: tuple[LowRank, ...] = ()

    def generator(self) -> torch.Generator:
        """The strategy's own noise on the server in this round."""
        return self.seeds.torch("strategy", round_index=self.round_index, purpose="aggregate")


@dataclass(frozen=True)
class ClientContext:
    """Given to `send`, `client` and `export`.

    Args:
        client_id: 0 to `n_clients - 1`.
        n_examples: training examples that the client holds.
        start: the adapter's initial tensors at this client's ranks, which everybody derives from the seed (never sent).
        keep: the client's private state, as its last `Update.keep`; empty before its first round, and always empty in
            `send`, since the server cannot see it. Never sent.
        local_steps: the step budget of one fit of this client.
        learning_rate: of the local optimizer in this round; beyond the last round, where clients train once more before
            they are evaluated, the full one.
        kept_in: the last round in which an update of this client was admitted, -1 before the first: its private state
            is of that round, and it has what was sent then.
        low_rank: the adapter's LoRA factors with this client's ranks; empty for adapters of another kind.
    """

    round_index: int
    client_id: int
    n_clients: int
    n_examples: int
    start: Tensors
    keep: Tensors
    local_steps: int
    learning_rate: float
    seeds: SeedTree
    kept_in: int = -1
    low_rank: tuple[LowRank, ...] = ()

    def generator(self) -> torch.Generator:
        """The strategy's own noise for this client and round."""
        return self.seeds.torch("strategy", round_index=self.round_index, client_id=self.client_id, purpose="client")
