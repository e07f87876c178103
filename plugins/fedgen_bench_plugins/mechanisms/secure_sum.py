"""Secure aggregation: the server learns the sum of clients' quantised changes, and of no single one anything."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fedgen_bench import MechanismSpec, hookimpl
from fedgen_bench.authors.mechanisms import Change, LedgerEntry, MechanismContext, Released, Sampling
from fedgen_bench_plugins.mechanisms.masking import KEYS, SHARES, Client, Server, Setting

if TYPE_CHECKING:
    import numpy as np
    import torch

    from fedgen_bench import Tensors

_LEAST_COHORT = 3  # of two, each knows the other's change from the sum
_MOST_BYTES = 4  # of a number on the wire
_ROUNDING = 1e-9  # of a share of a cohort


@dataclass(frozen=True)
class Params:
    """Knobs of secure aggregation.

    Args:
        bound: the range -bound to bound that every number of a change is cut to.
        bits: of a number before masking: the range has 2^bits - 1 steps.
        rounding: to the nearest step, or `stochastic`: up or down by chance, right on average.
        threshold: share of a cohort whose answers recover the masks of those that are lost; above a half.
    """

    bound: float = 0.1
    bits: int = 16
    rounding: Literal["stochastic", "nearest"] = "stochastic"
    threshold: float = 2 / 3

    def __post_init__(self) -> None:
        if not 0 < self.bound < float("inf"):
            raise ValueError(f"bound must be a finite number above 0, got {self.bound}.")
        if not 2 <= self.bits <= 24:  # noqa: PLR2004 - sums of more would not fit
            raise ValueError(f"bits must be from 2 to 24, got {self.bits}.")
        if not 0.5 < self.threshold <= 1:  # noqa: PLR2004 - see above
            raise ValueError(f"threshold must be above 0.5 and at most 1, got {self.threshold}.")


class SecureSum:
    """Secure aggregation (Bonawitz et al., CCS 2017) over clients that all count the same, simulated to the byte.

    Each number x of a change becomes q = round((clip(x) + bound) / step), step = 2 bound / (2^bits - 1). Clients send q
    under masks that cancel modulo a power of 256 which no sum reaches, so the server has sum_k q_k exactly, over the n
    clients that answer; d = step sum_k q_k / n - bound.

    Every message is encoded, sent to the other side and decoded there. Keys and masks come from the cell's seed.
    """

    def __init__(self, params: Params) -> None:
        self.params = params

    def init(self, sampling: Sampling) -> None:
        """Raises ValueError when the cohort is too small to hide anybody, or too large for its sums."""
        if sampling.cohort < _LEAST_COHORT:
            raise ValueError(
                f"A sum over {sampling.cohort} clients gives them away to each other. Ask at least {_LEAST_COHORT} in "
                "a round."
            )
        if self._number_bytes(sampling) > _MOST_BYTES:
            raise ValueError(
                f"Sums of {sampling.cohort} numbers of {self.params.bits} bits take more than {8 * _MOST_BYTES} bits. "
                "Lower `bits`."
            )

    def release(self, state: None, changes: Iterable[Change], ctx: MechanismContext) -> Released:
        layout: dict[str, torch.Tensor] = {}
        session: _Session | None = None
        for change in changes:
            if session is None:
                layout = {name: tensor.new_zeros(()).expand(tensor.shape) for name, tensor in change.tensors.items()}
                session = _Session(self._setting(_numbers(layout), ctx), ctx)
            session.send(change.client_id, self.quantised(change, ctx))
            del change
        assert session is not None  # at least one arrives
        total, n_answered = session.total()
        return Released(self.restored(total, n_answered, layout), state)

    def quantised(self, change: Change, ctx: MechanismContext) -> np.ndarray:
        """A change's numbers as steps above -bound: uint32 of shape (numbers in it,), by tensors' names."""
        import numpy as np

        bound, steps = self.params.bound, 2**self.params.bits - 1
        parts = [change.tensors[name].double().flatten().numpy() for name in sorted(change.tensors)]
        scaled = (np.clip(np.concatenate(parts), -bound, bound) + bound) * (steps / (2 * bound))
        if self.params.rounding == "nearest":
            return np.asarray(np.rint(scaled), dtype=np.uint32)
        random = np.random.Generator(np.random.Philox(key=ctx.key("rounding", change.client_id)))
        return np.asarray(np.minimum(np.floor(scaled + random.random(len(scaled))), steps), dtype=np.uint32)

    def restored(self, total: np.ndarray, n_answered: int, layout: Tensors) -> dict[str, torch.Tensor]:
        """The mean change that a sum of so many clients' steps stands for."""
        import torch

        step = 2 * self.params.bound / (2**self.params.bits - 1)
        mean, at, tensors = torch.from_numpy(total * (step / n_answered) - self.params.bound), 0, {}
        for name in sorted(layout):
            like = layout[name]
            tensors[name] = mean[at : at + like.numel()].reshape(like.shape).to(like.dtype)
            at += like.numel()
        return {name: tensors[name] for name in layout}

    def messages(self, n_numbers: int, answered: Collection[int], ctx: MechanismContext) -> Iterator[LedgerEntry]:
        """Of everybody who is asked in the exchanges before training, of those who answered in those after it."""
        sizes = self._setting(n_numbers, ctx).sizes(len(answered))
        for phase, way in sizes:
            for client_id in ctx.asked if phase in {KEYS, SHARES} else sorted(answered):
                whole, vector = sizes[phase, way]
                yield LedgerEntry(
                    round_index=ctx.round_index,
                    client_id=client_id,
                    direction="up" if way == "up" else "down",
                    phase=phase,
                    encoded_bytes=whole,
                    tensor_bytes=vector,
                    header_bytes=whole - vector,
                )

    def _setting(self, n_numbers: int, ctx: MechanismContext) -> Setting:
        return Setting(
            round_index=ctx.round_index,
            clients=ctx.asked,
            threshold=math.ceil(self.params.threshold * len(ctx.asked) - _ROUNDING),
            n_numbers=n_numbers,
            number_bytes=self._number_bytes(ctx.sampling),
        )

    def _number_bytes(self, sampling: Sampling) -> int:
        most: int = sampling.cohort * (2**self.params.bits - 1)
        return -(-most.bit_length() // 8)


class _Session:
    """Both sides of a round, which send each other bytes."""

    def __init__(self, setting: Setting, ctx: MechanismContext) -> None:
        self.server = Server(setting)
        self.clients = {one: Client(setting, one, _Entropy(ctx, one)) for one in setting.clients}
        roster = self.server.roster({one: client.keys() for one, client in self.clients.items()})
        self.boxes = self.server.forwarded({one: client.shares(roster) for one, client in self.clients.items()})
        self.answered: list[int] = []

    def send(self, client_id: int, numbers: np.ndarray) -> None:
        self.server.add(client_id, self.clients[client_id].masked(self.boxes[client_id], numbers))
        self.answered.append(client_id)

    def total(self) -> tuple[np.ndarray, int]:
        survivors = self.server.survivors()
        unmasked: Mapping[int, bytes] = {one: self.clients[one].unmask(survivors) for one in self.answered}
        return self.server.total(unmasked), len(self.answered)


@dataclass(frozen=True)
class _Entropy:
    """A client's own bytes in a round, from the cell's seed."""

    ctx: MechanismContext
    client_id: int

    def __call__(self, purpose: str, size: int) -> bytes:
        key = self.ctx.key(f"secure_sum/{purpose}", self.client_id)
        return hashlib.shake_256(key.to_bytes(16, "little")).digest(size)


def _numbers(layout: Tensors) -> int:
    return sum(tensor.numel() for tensor in layout.values())


@hookimpl
def register_mechanisms() -> list[MechanismSpec]:
    summary = "The server learns the sum of masked, quantised changes alone (Bonawitz et al., CCS 2017)."
    return [MechanismSpec(name="secure_sum", summary=summary, build=SecureSum, params=Params, carries=True)]
