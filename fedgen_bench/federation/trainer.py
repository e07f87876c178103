"""The only local-training loop. It takes a proximal penalty and a gradient correction as data."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from fedgen_bench.base.errors import Diverged, PluginError
from fedgen_bench.contract.contexts import LowRank
from fedgen_bench.contract.data import Examples, Tensors
from fedgen_bench.contract.messages import Fit, FitReport
from fedgen_bench.contract.seeds import SeedTree, seeded_globals
from fedgen_bench.federation.tables import UnusedRows

if TYPE_CHECKING:
    from fedgen_bench.contract.adapting import Adapted
    from fedgen_bench.contract.protocols import Task


@dataclass(frozen=True)
class TrainingPlan:
    """How every contender trains locally: the suite's `[training]` table with the contender's learning rate."""

    optimizer: str
    learning_rate: float
    weight_decay: float
    batch_size: int
    local_steps: int | None
    local_epochs: int | None
    clip_norm: float | None
    precision: str
    ema_decay: float | None = None

    def steps_for(self, n_examples: int) -> int:
        """The step budget of one fit of a client with that many examples."""
        if self.local_steps is not None:
            return self.local_steps
        return (self.local_epochs or 1) * math.ceil(n_examples / self.batch_size)


@dataclass(frozen=True)
class Place:
    """Where and when a fit happens: the axes of its streams."""

    seeds: SeedTree
    round_index: int
    client_id: int
    fit_index: int = 0

    @property
    def purpose(self) -> str:
        """Sub-stream of a client's second and later fits in a round."""
        return f"fit{self.fit_index}"

    def batch_generator(self) -> np.random.Generator:
        """The stream of this fit's batches."""
        return self.seeds.numpy("batches", round_index=self.round_index, client_id=self.client_id, purpose=self.purpose)


def batch_order(n_examples: int, batch_size: int, n_steps: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Index arrays of `n_steps` batches: epochs of fresh permutations, the last batch of an epoch may be short."""
    if n_examples < 1:
        raise PluginError("A client without training examples cannot train.")

    def endless() -> Iterator[np.ndarray]:
        while True:
            order = rng.permutation(n_examples)
            yield from (order[start : start + batch_size] for start in range(0, n_examples, batch_size))

    batches = endless()
    return [next(batches) for _ in range(n_steps)]


def order_digest(batches: list[np.ndarray]) -> str:
    """Hex sha256 of a batch order."""
    total = hashlib.sha256()
    for batch in batches:
        total.update(len(batch).to_bytes(8, "little"))
        total.update(batch.astype("<i8").tobytes())
    return total.hexdigest()


@torch.no_grad()
def load_tensors(
    trainable: Mapping[str, torch.nn.Parameter], tensors: Tensors, low_rank: Sequence[LowRank] = ()
) -> None:
    """Copy `tensors` into the parameters; LoRA factors of a lower rank are padded with zeros.

    A zero column of B beside a zero row of A has no gradient, so such factors train as those of the lower rank do.

    Raises:
        PluginError: names or shapes are not the adapter's.
    """
    if tensors.keys() != trainable.keys():
        odd = min(tensors.keys() ^ trainable.keys())
        raise PluginError(
            f"Tensors do not match the adapter's: `{odd}` is {'missing' if odd in trainable else 'unknown'}."
        )
    for name, parameter in trainable.items():
        if tensors[name].shape == parameter.shape:
            parameter.copy_(tensors[name])
        elif name not in _fitting(tensors, trainable, low_rank):
            raise PluginError(
                f"`{name}` has shape {tuple(tensors[name].shape)}, the adapter's is {tuple(parameter.shape)}."
            )
        else:
            parameter.zero_()
            parameter[_leading(tensors[name].shape)] = tensors[name].to(parameter.device)


def _fitting(
    tensors: Tensors, trainable: Mapping[str, torch.nn.Parameter], low_rank: Sequence[LowRank]
) -> frozenset[str]:
    """Factors A (r, n_in) and B (n_out, r) of one rank r, at least 1 and at most the adapter's."""
    fitting = set()
    for pair in low_rank:
        (rank, n_in), (n_out, most) = trainable[pair.a].shape, trainable[pair.b].shape
        r = len(tensors[pair.a])
        if 0 < r <= rank == most and tensors[pair.a].shape == (r, n_in) and tensors[pair.b].shape == (n_out, r):
            fitting |= {pair.a, pair.b}
    return frozenset(fitting)


def _leading(shape: torch.Size) -> tuple[slice, ...]:
    return tuple(slice(size) for size in shape)


def dump_tensors(trainable: Mapping[str, torch.nn.Parameter]) -> dict[str, torch.Tensor]:
    """Detached CPU copies of the parameters."""
    return {name: parameter.detach().to("cpu", copy=True) for name, parameter in trainable.items()}


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The suite's precision as a context."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def check_trainable(adapted: Adapted, request: Fit) -> list[str]:
    """The names that a fit trains, sorted. Raises PluginError when there are none, or one is not the adapter's."""
    names = sorted(adapted.trainable if request.trainable is None else request.trainable)
    if unknown := set(names) - adapted.trainable.keys():
        raise PluginError(f"Fit.trainable names `{min(unknown)}`, which the adapter does not have.")
    if not names:
        raise PluginError("A fit has nothing to train: the adapter, or Fit.trainable, is empty.")
    return names


def fit(
    adapted: Adapted, task: Task, data: Examples, request: Fit, plan: TrainingPlan, place: Place, n_steps: int
) -> FitReport:
    """Run one `Fit` for `n_steps` steps and report the trained tensors, or their moving average (`ema_decay`).

    Raises:
        Diverged: the loss is not a finite number.
        PluginError: tensors that are not the adapter's.
    """
    batches = batch_order(data.n, plan.batch_size, n_steps, place.batch_generator())
    adapted.fold(request.merges)
    load_tensors(adapted.trainable, request.start, adapted.low_rank)
    names = check_trainable(adapted, request)
    for name, parameter in adapted.trainable.items():
        parameter.requires_grad_(name in names)
    parameters = [adapted.trainable[name] for name in names]
    device = parameters[0].device
    pull = _Pull(request, names, parameters)
    optimizer = _optimizer(parameters, plan)
    rows = UnusedRows(adapted.module, parameters if plan.weight_decay else ())
    average = None if plan.ema_decay is None else _Average(plan.ema_decay, parameters)
    key = place.seeds.key(
        "batches", round_index=place.round_index, client_id=place.client_id, purpose=f"{place.purpose}/noise"
    )
    noise = torch.Generator().manual_seed(key & 0x7FFF_FFFF_FFFF_FFFF)
    total = torch.zeros((), dtype=torch.float64, device=device)
    adapted.module.train()
    with adapted.untrained.kept(f"{type(task).__name__}.loss"), seeded_globals(key):
        for batch in batches:
            index = torch.from_numpy(batch)
            examples = {name: tensor[index].to(device) for name, tensor in data.tensors.items()}
            with autocast(device, plan.precision):
                loss = task.loss(adapted.module, examples, noise)
            loss.backward()
            pull.add_to_gradients(parameters)
            if plan.clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(parameters, plan.clip_norm)
            rows.step(optimizer)
            optimizer.zero_grad(set_to_none=True)
            if average is not None:
                average.follow(parameters)
            total += loss.detach()
    if average is not None:
        average.replace(parameters)
    adapted.module.eval()
    mean_loss = float(total) / n_steps
    if not math.isfinite(mean_loss):
        raise Diverged(f"Loss of client {place.client_id} is {mean_loss}.")
    trained = {
        name: tensor[_leading(request.start[name].shape)].contiguous()
        for name, tensor in dump_tensors(adapted.trainable).items()
    }
    return FitReport(trained, data.n, n_steps, mean_loss, order_digest(batches))


class _Pull:
    """The penalty's and the correction's share of the gradient: mu (y - anchor) + correction."""

    def __init__(self, request: Fit, names: list[str], parameters: list[torch.nn.Parameter]) -> None:
        device = parameters[0].device
        self._mu = request.penalty.mu if request.penalty is not None else 0.0
        anchor = request.start if request.penalty is None or request.penalty.anchor is None else request.penalty.anchor
        shapes = [parameter.shape for parameter in parameters]
        self._anchor = _padded(anchor, names, shapes, device) if self._mu else []
        correction = request.correction
        self._correction = None if correction is None else _padded(correction, names, shapes, device)

    @torch.no_grad()
    def add_to_gradients(self, parameters: list[torch.nn.Parameter]) -> None:
        if not self._mu and self._correction is None:
            return
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients: Any = [parameter.grad for parameter in parameters]
        values: Any = parameters
        if self._mu:
            pulls: Any = torch._foreach_sub(values, self._anchor)  # noqa: SLF001 - as optimizers do
            torch._foreach_add_(gradients, pulls, alpha=self._mu)
        if self._correction is not None:
            torch._foreach_add_(gradients, self._correction)


class _Average:
    """Exponential moving average over a fit's steps: a_0 = start, a_t = d_t a_(t-1) + (1 - d_t) theta_t.

    d_t = min(decay, t / (t + 9)), so that the start fades from the average of a short fit as well.
    """

    def __init__(self, decay: float, parameters: list[torch.nn.Parameter]) -> None:
        self._decay, self._n_steps = decay, 0
        self._values = [parameter.detach().clone() for parameter in parameters]

    @torch.no_grad()
    def follow(self, parameters: list[torch.nn.Parameter]) -> None:
        self._n_steps += 1
        decay = min(self._decay, self._n_steps / (self._n_steps + 9))
        values: Any = parameters
        torch._foreach_lerp_(self._values, values, 1 - decay)

    @torch.no_grad()
    def replace(self, parameters: list[torch.nn.Parameter]) -> None:
        for parameter, value in zip(parameters, self._values, strict=True):
            parameter.copy_(value)


def _padded(tensors: Tensors, names: list[str], shapes: list[torch.Size], device: torch.device) -> list[torch.Tensor]:
    """Tensors on the device; those of a lower rank stand in the leading corner of zeros."""
    found = []
    for name, shape in zip(names, shapes, strict=True):
        tensor = tensors[name].to(device)
        if tensor.shape != shape:
            whole = tensor.new_zeros(shape)
            whole[_leading(tensor.shape)] = tensor
            tensor = whole
        found.append(tensor)
    return found


def _optimizer(parameters: list[torch.nn.Parameter], plan: TrainingPlan) -> torch.optim.Optimizer:
    if plan.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=plan.learning_rate, weight_decay=plan.weight_decay)
    return torch.optim.AdamW(parameters, lr=plan.learning_rate, weight_decay=plan.weight_decay, fused=True)
