"""FedDPA: a second, purely local LoRA beside the federated one."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fedgen_bench import (
    ClientContext,
    Fit,
    FitReport,
    LowRank,
    Payload,
    RoundContext,
    ServerContext,
    StrategySpec,
    Tensors,
    Update,
    hookimpl,
    send_tensors,
    truncated,
    weighted_mean,
)

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Params:
    """local_rank: how many of the adapter's ranks are each client's own, in every module; the others are federated."""

    local_rank: int = 1

    def __post_init__(self) -> None:
        if self.local_rank < 1:
            raise ValueError(
                f"local_rank must be at least 1, got {self.local_rank}. Without a local part use `fedavg`."
            )


@dataclass(frozen=True)
class State:
    """The federated factors, of the ranks that are not local."""

    tensors: Tensors


class FedDPA:
    """FedDPA-T (arXiv 2403.19211): a client's weight is W0 + s (B A + B_k A_k), with B A federated and B_k A_k its own.

    The adapter's ranks are split, since two LoRAs beside each other are one of their summed rank; s is that of the
    whole. In a round a client trains (A, B) alone, as in FedAvg, and (A_k, B_k) on top of the (A, B) that it received,
    which stays; each fit takes the whole step budget. Only (A, B) travels. (A_k, B_k) is private state and starts from
    the last ranks of the adapter's initial values, whose B is 0: a client that was never asked has the global model,
    W0 + s B A. Both parts count fully in inference, where the paper weights them by instance.
    """

    def __init__(self, params: Params) -> None:
        self.params = params

    def init(self, start: Tensors, ctx: ServerContext) -> State:
        """Raises ValueError when nothing of a module is left to share."""
        for pair in ctx.low_rank:
            if pair.rank <= self.params.local_rank:
                raise ValueError(
                    f"FedDPA: local_rank = {self.params.local_rank} leaves nothing to share of `{pair.module}`, whose "
                    f"LoRA has rank {pair.rank}. Give the adapter a higher rank, or choose a lower `local_rank`."
                )
        return State(truncated(start, self._shared(ctx)))

    send = send_tensors

    def client(self, payload: Payload, ctx: ClientContext) -> Generator[Fit, FitReport, Update]:
        fit = yield Fit(start=payload.tensors)
        own = yield self._beside(payload.tensors, ctx)
        return Update(fit.tensors, fit.n_examples, keep=own.tensors)

    def aggregate(self, state: State, updates: Iterable[Update], ctx: RoundContext) -> State:
        return State(weighted_mean(updates))

    def export(self, state: State, ctx: ClientContext | None) -> Tensors:
        if ctx is None:
            return state.tensors
        import torch

        own, whole = self._own(ctx), {}
        for pair in ctx.low_rank:
            whole[pair.a] = torch.cat([state.tensors[pair.a], own[pair.a]])
            whole[pair.b] = torch.cat([state.tensors[pair.b], own[pair.b]], dim=1)
        return whole

    def personalize(self, state: State, ctx: ClientContext) -> Fit:
        """The federated part stays."""
        return self._beside(state.tensors, ctx)

    def _beside(self, shared: Tensors, ctx: ClientContext) -> Fit:
        """Training of the client's own factors, the federated ones being part of the backbone meanwhile."""
        folded = {}
        for pair in ctx.low_rank:
            folded[pair.a], folded[pair.b] = shared[pair.a], pair.scale * shared[pair.b]
        return Fit(start=self._own(ctx), merges=(folded,))

    def _own(self, ctx: ClientContext) -> Tensors:
        """The client's own factors: those that it kept, or the initial ones."""
        n = self.params.local_rank
        own: dict[str, torch.Tensor] = {}
        for pair in ctx.low_rank:
            own[pair.a], own[pair.b] = ctx.start[pair.a][-n:].clone(), ctx.start[pair.b][:, -n:].clone()
        return ctx.keep or own

    def _shared(self, ctx: ServerContext) -> list[LowRank]:
        return [replace(pair, rank=pair.rank - self.params.local_rank) for pair in ctx.low_rank]


@hookimpl
def register_strategies() -> list[StrategySpec]:
    return [
        StrategySpec(
            name="feddpa",
            summary="Federated LoRA, and a second, local one beside it; two fits a round (arXiv 2403.19211).",
            build=FedDPA,
            params=Params,
            fits_per_round=2,
            low_rank=True,
            stateful=True,
            averages=True,
        )
    ]
