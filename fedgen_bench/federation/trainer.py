"""The only local-training loop. It takes a proximal penalty and a gradient correction as data."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from fedgen_bench.base.errors import Diverged, PluginError
from fedgen_bench.contract.data import Examples, Tensors
from fedgen_bench.contract.messages import Fit, FitReport
from fedgen_bench.contract.protocols import MicroBatching
from fedgen_bench.contract.seeds import seeded_globals
from fedgen_bench.federation.batches import FitStreams, batch_order, batches_of, order_digest
from fedgen_bench.federation.clipped_gradients import ClippedGradients
from fedgen_bench.federation.moving_average import MovingAverage
from fedgen_bench.federation.parameters import dump_like, load_tensors, padded
from fedgen_bench.federation.schedules import shares
from fedgen_bench.federation.unused_rows import UnusedRows, tables_of

if TYPE_CHECKING:
    from fedgen_bench.contract.adapting import Adapted
    from fedgen_bench.contract.protocols import Task
    from fedgen_bench.suite.cellconfig import CellConfig
    from fedgen_bench.suite.example_dp import ExampleDP
    from fedgen_bench.suite.schema import Schedule


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """How every contender trains locally: the suite's `[training]` table with the contender's learning rate.

    Args:
        learning_rate: the full one, which a schedule gives shares of.
        n_rounds: rounds of the cell, over which the schedule goes.
    """

    optimizer: str
    learning_rate: float
    batch_size: int
    micro_batch_size: int | None = None
    weight_decay: float = 0.0
    local_steps: int | None = None
    local_epochs: int | None = None
    clip_norm: float | None = None
    precision: str = "fp32"
    ema_decay: float | None = None
    schedule: Schedule | None = None
    n_rounds: int = 0
    example_dp: ExampleDP | None = None

    def at(self, learning_rate: float | None) -> TrainingPlan:
        """The plan with another learning rate; the same one when None."""
        return self if learning_rate is None else replace(self, learning_rate=learning_rate)

    @property
    def examples_at_once(self) -> int:
        """The most that a loss is computed of at a time."""
        return 1 if self.example_dp is not None else self.micro_batch_size or self.batch_size

    def steps_for(self, n_examples: int) -> int:
        """The step budget of one fit of a client with that many examples."""
        if self.local_steps is not None:
            return self.local_steps
        return (self.local_epochs or 1) * math.ceil(n_examples / self.batch_size)

    def learning_rate_in(self, round_index: int) -> float:
        """Of a round, before a schedule within the fit; the full one beyond the last round."""
        if self.schedule is None or round_index >= self.n_rounds:
            return self.learning_rate
        over = shares(self.schedule.over_rounds, self.schedule.warmup_rounds, self.n_rounds)
        return self.learning_rate * over[round_index]

    def learning_rates(self, round_index: int, n_steps: int) -> Sequence[float]:
        """Of every step of a fit."""
        rate = self.learning_rate_in(round_index)
        if self.schedule is None:
            return [rate] * n_steps
        return [rate * share for share in shares(self.schedule.within_fit, self.schedule.warmup_steps, n_steps)]


def plan_of(config: CellConfig) -> TrainingPlan:
    """How a cell's clients are trained."""
    training = config.training
    return TrainingPlan(
        optimizer=training.optimizer,
        learning_rate=config.contender.learning_rate,
        weight_decay=training.weight_decay,
        batch_size=training.batch_size,
        micro_batch_size=training.micro_batch_size,
        local_steps=training.local_steps,
        local_epochs=training.local_epochs,
        clip_norm=training.clip_norm,
        precision=training.precision,
        ema_decay=training.ema_decay,
        schedule=training.schedule,
        n_rounds=config.federation.rounds,
        example_dp=config.contender.example_dp,
    )


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The suite's precision as a context."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def totals_of(losses: Sequence[torch.Tensor]) -> list[float]:
    """Sums over steps in their order, in float64, of losses of shape (clients,); later steps may have fewer clients.

    They are read from the device once, and added up off it: not every device has float64.
    """
    values = iter(torch.cat(list(losses)).tolist())
    totals = [0.0] * len(losses[0])
    for step in losses:
        for client in range(len(step)):
            totals[client] += next(values)
    return totals


def check_trainable(adapted: Adapted, request: Fit) -> list[str]:
    """The names that a fit trains, sorted. Raises PluginError when there are none, or one is not the adapter's."""
    names = sorted(adapted.trainable if request.trainable is None else request.trainable)
    if unknown := set(names) - adapted.trainable.keys():
        raise PluginError(f"Fit.trainable names `{min(unknown)}`, which the adapter does not have.")
    if not names:
        raise PluginError("A fit has nothing to train: the adapter, or Fit.trainable, is empty.")
    return names


def fit(
    adapted: Adapted, task: Task, data: Examples, request: Fit, plan: TrainingPlan, streams: FitStreams, n_steps: int
) -> FitReport:
    """Run one `Fit` for `n_steps` steps and report the trained tensors, or their moving average (`ema_decay`).

    Raises:
        Diverged: the loss is not a finite number.
        PluginError: tensors that are not the adapter's.
    """
    order = batch_order(data.n, plan.batch_size, n_steps, streams.batch_generator())
    adapted.fold(request.merges)
    load_tensors(adapted.trainable, request.start, adapted.low_rank)
    names = check_trainable(adapted, request)
    for name, parameter in adapted.trainable.items():
        parameter.requires_grad_(name in names)
    chosen = {name: adapted.trainable[name] for name in names}
    parameters = list(chosen.values())
    device = parameters[0].device
    pull = _Pull(request, chosen)
    optimizer = new_optimizer(parameters, plan)
    decayed = set(map(id, parameters if plan.weight_decay else ()))
    rows = UnusedRows([table for table in tables_of(adapted.module) if id(table) in decayed])
    average = None if plan.ema_decay is None else MovingAverage(plan.ema_decay, parameters)
    noise = streams.noise_generator()
    clipped = (
        ClippedGradients(parameters, plan.example_dp, plan.batch_size, streams.privacy_generator())
        if plan.example_dp is not None
        else None
    )
    losses: list[torch.Tensor] = []
    adapted.module.train()
    with adapted.untrained.kept(f"{type(task).__name__}.loss"), seeded_globals(streams.noise_key):
        rates = plan.learning_rates(streams.round_index, n_steps)
        for batch, rate in zip(batches_of(data, order, device), rates, strict=True):
            if clipped is None:
                for loss in _losses(adapted.module, task, batch, plan, noise):
                    loss.backward()
                    losses.append(loss.detach())
            else:
                for loss, share in _example_losses(adapted.module, task, batch, plan, noise):
                    clipped.add(loss)
                    losses.append(loss.detach() * share)
                clipped.into_gradients()
            pull.add_to_gradients(parameters)
            if plan.clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(parameters, plan.clip_norm)
            set_learning_rate(optimizer, rate)
            rows.step(optimizer)
            optimizer.zero_grad(set_to_none=True)
            if average is not None:
                average.follow(parameters)
    if average is not None:
        average.replace(parameters)
    adapted.module.eval()
    (total,) = totals_of([loss[None] for loss in losses])
    mean_loss = total / n_steps
    if not math.isfinite(mean_loss):
        raise Diverged(f"Loss of client {streams.client_id} is {mean_loss}.")
    del optimizer, rows, pull, average, clipped  # as large as the model, each, and not needed beside what is reported
    trained = dump_like(adapted.trainable, request.start)
    return FitReport(trained, data.n, n_steps, mean_loss, order_digest(order))


def _losses(
    module: torch.nn.Module, task: Task, batch: Tensors, plan: TrainingPlan, noise: torch.Generator
) -> Iterator[torch.Tensor]:
    """The loss of a batch, or micro-batches' shares of it; each is computed when the one before has been used."""
    device = next(iter(batch.values())).device
    if plan.micro_batch_size is None:
        with autocast(device, plan.precision):
            loss = task.loss(module, batch, noise)
        yield loss
        return
    assert isinstance(task, MicroBatching), "looked at before the first cell"
    for part in task.micro_batches(batch, plan.micro_batch_size, noise):
        with autocast(device, plan.precision):
            loss = task.loss(module, part.tensors, noise) * part.share
        yield loss


def _example_losses(
    module: torch.nn.Module, task: Task, batch: Tensors, plan: TrainingPlan, noise: torch.Generator
) -> Iterator[tuple[torch.Tensor, float | torch.Tensor]]:
    """The loss of each example, and what it counts in that of the batch."""
    device = next(iter(batch.values())).device
    assert isinstance(task, MicroBatching), "looked at before the first cell"
    for part in task.micro_batches(batch, 1, noise):
        with autocast(device, plan.precision):
            loss = task.loss(module, part.tensors, noise)
        yield loss, part.share


class _Pull:
    """The penalty's and the correction's share of the gradient: mu (y - anchor) + correction."""

    def __init__(self, request: Fit, chosen: Mapping[str, torch.nn.Parameter]) -> None:
        self._mu = request.penalty.mu if request.penalty is not None else 0.0
        anchor = request.start if request.penalty is None or request.penalty.anchor is None else request.penalty.anchor
        self._anchor = padded(anchor, chosen) if self._mu else []
        self._correction = None if request.correction is None else padded(request.correction, chosen)

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


def new_optimizer(parameters: list[torch.nn.Parameter], plan: TrainingPlan) -> torch.optim.Optimizer:
    """The suite's optimizer, fresh for one fit, at the full rate."""
    if plan.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=plan.learning_rate, weight_decay=plan.weight_decay)
    return torch.optim.AdamW(parameters, lr=plan.learning_rate, weight_decay=plan.weight_decay, fused=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """For the steps from now on."""
    for group in optimizer.param_groups:
        group["lr"] = rate
