"""Client-level differential privacy: changes are clipped and summed, and Gaussian noise covers any single client's."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedgen_bench import MechanismSpec, hookimpl
from fedgen_bench.authors.mechanisms import Change, MechanismContext, Privacy, Released, Sampling
from fedgen_bench_plugins.mechanisms.accounting import accounted, noise_for

if TYPE_CHECKING:
    import torch

_BITS = 20  # the cohort over this is the noise on the count of bits, as arXiv 1905.03871 has it


@dataclass(frozen=True)
class Params:
    """Knobs of DP-FedAvg.

    Args:
        clip_norm: bound C on the Euclidean norm of a client's change over all tensors; where it begins with `quantile`.
        noise_multiplier: z, the noise's standard deviation over C; 1 when neither this nor `target_epsilon` is given.
        target_epsilon: epsilon to be kept in place of a `noise_multiplier`, which is then the least that does.
        delta: at which epsilon is told; below 1 / n_clients.
        quantile: share of clients that C should leave unclipped, which makes it adaptive; fixed when left out.
        clip_rate: how fast an adaptive C moves.
        bit_noise: standard deviation of the noise on the count of unclipped clients; a twentieth of the cohort when
            left out.
    """

    clip_norm: float = 1.0
    noise_multiplier: float | None = None
    target_epsilon: float | None = None
    delta: float = 1e-5
    quantile: float | None = None
    clip_rate: float = 0.2
    bit_noise: float | None = None

    def __post_init__(self) -> None:
        for name in ("clip_norm", "target_epsilon", "clip_rate", "bit_noise"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ValueError(f"{name} must be a finite number above 0, got {value}.")
        if self.noise_multiplier is not None and not 0 <= self.noise_multiplier < float("inf"):
            raise ValueError(f"noise_multiplier must be a finite number of at least 0, got {self.noise_multiplier}.")
        if self.noise_multiplier is not None and self.target_epsilon is not None:
            raise ValueError("Give either noise_multiplier or target_epsilon: each follows from the other.")
        for name in ("delta", "quantile"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1:
                raise ValueError(f"{name} must be above 0 and below 1, got {value}.")
        if self.bit_noise is not None and self.quantile is None:
            raise ValueError("bit_noise is of adaptive clipping. Give a `quantile`, or leave it out.")


@dataclass(frozen=True)
class State:
    """The bound C of the next round."""

    clip_norm: float


class ClientDP:
    """DP-FedAvg (arXiv 1710.06963) over m clients a round that all count the same, drawn without replacement.

    d = (1/m) (sum_k d_k min(1, C / ||d_k||) + N(0, (z_d C)^2)), with z_d = z. m is the cohort whoever answers, so that
    nobody's absence changes the others' share.

    With a quantile g, C is adaptive (arXiv 1905.03871): b = (1/m) (sum_k 1[||d_k|| <= C] + N(0, s_b^2)) and
    C <- C exp(-clip_rate (b - g)). Sum and count together then cost as much as a sum alone with z, by
    z_d = (z^-2 - (2 s_b)^-2)^(-1/2). Replacing a client moves the sum by 2 C and the count by 1, either twice what
    leaving it out does, so this holds for either relation.
    """

    def __init__(self, params: Params) -> None:
        self.params = params

    def init(self, sampling: Sampling) -> State:
        """Raises ValueError when the target cannot be reached, or the bits' noise leaves none for the sum."""
        self._of_sum(sampling)
        return State(self.params.clip_norm)

    def release(self, state: State, changes: Iterable[Change], ctx: MechanismContext) -> Released:
        import torch

        bound, sampling = state.clip_norm, ctx.sampling
        total: dict[str, torch.Tensor] = {}
        kinds: dict[str, torch.dtype] = {}
        n_within = 0
        for change in changes:
            norm = math.sqrt(math.fsum(float(one.double().square().sum()) for one in change.tensors.values()))
            n_within += norm <= bound
            kinds = {name: tensor.dtype for name, tensor in change.tensors.items()}
            for name, tensor in change.tensors.items():
                clipped = tensor.double() * (bound / max(norm, bound))
                total[name] = total[name] + clipped if name in total else clipped
            del change, tensor, clipped
        spread = self._of_sum(sampling) * bound
        mean = {}
        for name, kind in kinds.items():
            noise = torch.randn(total[name].shape, dtype=torch.float64, generator=ctx.generator(f"noise/{name}"))
            mean[name] = ((total[name] + spread * noise) / sampling.cohort).to(kind)
        return Released(mean, self._next(state, n_within, ctx))

    def account(self, sampling: Sampling) -> Privacy | None:
        noise = self._noise(sampling)
        return accounted(sampling, noise / 2, self.params.delta) if noise else None

    def _noise(self, sampling: Sampling) -> float:
        """z; of a target the least that keeps it. Neighbours are a replacement apart, which moves a sum by 2 C."""
        if self.params.target_epsilon is not None:
            return 2 * noise_for(sampling, self.params.target_epsilon, self.params.delta)
        return 1.0 if self.params.noise_multiplier is None else self.params.noise_multiplier

    def _of_bits(self, sampling: Sampling) -> float:
        """s_b."""
        return sampling.cohort / _BITS if self.params.bit_noise is None else self.params.bit_noise

    def _of_sum(self, sampling: Sampling) -> float:
        """z_d."""
        noise, bits = self._noise(sampling), self._of_bits(sampling)
        if self.params.quantile is None or not noise:
            return noise
        if noise >= 2 * bits:
            raise ValueError(
                f"The noise on the count of unclipped clients, {bits:g}, must exceed half the noise multiplier "
                f"{noise:g}. Raise `bit_noise`, or leave `quantile` out."
            )
        return float((noise**-2 - (2 * bits) ** -2) ** -0.5)

    def _next(self, state: State, n_within: int, ctx: MechanismContext) -> State:
        import torch

        if self.params.quantile is None:
            return state
        spread = self._of_bits(ctx.sampling) if self._noise(ctx.sampling) else 0.0
        noise = float(torch.randn((), dtype=torch.float64, generator=ctx.generator("bits")))
        share = (n_within + spread * noise) / ctx.sampling.cohort
        return State(state.clip_norm * math.exp(-self.params.clip_rate * (share - self.params.quantile)))


@hookimpl
def register_mechanisms() -> list[MechanismSpec]:
    summary = "Clients' changes are clipped, summed and noised: client-level DP (arXiv 1710.06963, 1905.03871)."
    return [MechanismSpec(name="client_dp", summary=summary, build=ClientDP, params=Params)]
