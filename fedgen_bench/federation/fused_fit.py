"""Fits of several clients at once: one batch through a backbone that they share, each one's adapter on its own rows.

Clients' gradients stay apart, as their tensors do, so clipping, penalties and the optimizer's moments are each one's
own; batches and noise come from the same streams as those of a fit alone. A client with fewer steps is read out after
its last.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from fedgen_bench.base.errors import Diverged
from fedgen_bench.contract.data import Tensors
from fedgen_bench.contract.messages import FitReport
from fedgen_bench.contract.seeds import seeded_globals
from fedgen_bench.federation.asked import Asked
from fedgen_bench.federation.batches import batch_order, batches_of, order_digest
from fedgen_bench.federation.grouped import Grouped
from fedgen_bench.federation.moving_average import MovingAverage
from fedgen_bench.federation.parameters import leading, padded
from fedgen_bench.federation.trainer import (
    TrainingPlan,
    autocast,
    check_trainable,
    new_optimizer,
    set_learning_rate,
    totals_of,
)
from fedgen_bench.federation.unused_rows import UnusedRows, tables_of

if TYPE_CHECKING:
    from fedgen_bench.contract.adapting import Adapted
    from fedgen_bench.contract.protocols import Fusing


@dataclass(frozen=True)
class JointPass:
    """The clients' values, stacked, and the module that computes with them.

    Args:
        values: by name of the adapter, of shape (clients, *shape of the parameter); those that are trained are leaves
            with gradients.
        trained: their names.
    """

    task: Fusing
    module: torch.nn.Module
    grouped: Grouped
    values: dict[str, torch.nn.Parameter]
    trained: tuple[str, ...]
    precision: str

    def losses(self, batches: Sequence[Tensors], noises: Sequence[torch.Generator]) -> torch.Tensor:
        """Losses of shape (clients,), of the first of the clients: as many as there are batches.

        `grouped` is installed, until their gradient is there: a module may compute parts of itself again for it.
        """
        self.grouped.sizes = [len(next(iter(batch.values()))) for batch in batches]
        device = self.values[self.trained[0]].device
        with autocast(device, self.precision):
            return torch.stack(list(self.task.losses(self.module, batches, noises)))


def joint_pass(adapted: Adapted, task: Fusing, asked: Sequence[Asked], plan: TrainingPlan) -> JointPass:
    """All clients at their starts; the adapter's own parameters are left out of gradients.

    Raises:
        ValueError: the adapter's parameters are no layers' that could be grouped.
    """
    adapted.fold(asked[0].request.merges)
    names = check_trainable(adapted, asked[0].request)
    starts = zip(*(padded(one.request.start, adapted.trainable) for one in asked), strict=True)
    values = {}
    for (name, parameter), clients in zip(adapted.trainable.items(), starts, strict=True):
        parameter.requires_grad_(False)  # noqa: FBT003
        values[name] = torch.nn.Parameter(torch.stack(clients), requires_grad=name in names)
    grouped = Grouped(adapted.module, {adapted.trainable[name]: stacked for name, stacked in values.items()})
    return JointPass(task, adapted.module, grouped, values, tuple(names), plan.precision)


def fit_together(
    adapted: Adapted, task: Fusing, asked: Sequence[Asked], plan: TrainingPlan
) -> list[FitReport | Diverged]:
    """What `trainer.fit` gives for each of the fits, which differ in nothing but clients' data, tensors and steps.

    Equal to that up to the order of additions within products of matrices.

    Raises:
        PluginError: the task changes what is not the adapter's.
    """
    longest_first = sorted(range(len(asked)), key=lambda i: -asked[i].n_steps)
    reports = _fit_together(adapted, task, [asked[i] for i in longest_first], plan)
    given = dict(zip(longest_first, reports, strict=True))
    return [given[i] for i in range(len(asked))]


def _fit_together(
    adapted: Adapted, task: Fusing, asked: Sequence[Asked], plan: TrainingPlan
) -> list[FitReport | Diverged]:
    orders = [batch_order(one.data.n, plan.batch_size, one.n_steps, one.streams.batch_generator()) for one in asked]
    noises = [one.streams.noise_generator() for one in asked]
    joint = joint_pass(adapted, task, asked, plan)
    parameters = [joint.values[name] for name in joint.trained]
    device = parameters[0].device
    pulls = _Pulls(adapted, asked, joint.trained)
    optimizer = new_optimizer(parameters, plan)
    tables = set(map(id, tables_of(adapted.module) if plan.weight_decay else ()))
    rows = UnusedRows([joint.values[name] for name in joint.trained if id(adapted.trainable[name]) in tables], 2)
    average = None if plan.ema_decay is None else MovingAverage(plan.ema_decay, parameters)
    reported = joint.values | dict(zip(joint.trained, parameters if average is None else average.values, strict=True))
    batches = [batches_of(one.data, order, device) for one, order in zip(asked, orders, strict=True)]
    steps: list[torch.Tensor] = []
    tensors: list[Tensors] = [{} for _ in asked]
    adapted.module.train()
    with adapted.untrained.kept(f"{type(task).__name__}.losses"), seeded_globals(asked[0].streams.noise_key):
        longest = asked[0]
        for step, rate in enumerate(plan.learning_rates(longest.streams.round_index, longest.n_steps)):
            n_active = sum(one.n_steps > step for one in asked)
            with joint.grouped.installed():
                losses = joint.losses([next(one) for one in batches[:n_active]], noises[:n_active])
                losses.sum().backward()
            pulls.add_to_gradients(parameters)
            if plan.clip_norm is not None:
                _clip_each(parameters, plan.clip_norm)
            set_learning_rate(optimizer, rate)
            rows.step(optimizer)
            optimizer.zero_grad(set_to_none=True)
            if average is not None:
                average.follow(parameters)
            steps.append(losses.detach())
            for client, one in enumerate(asked[:n_active]):
                if one.n_steps == step + 1:
                    tensors[client] = _read_out(reported, client, one.request.start)
    adapted.module.eval()
    means = [total / one.n_steps for total, one in zip(totals_of(steps), asked, strict=True)]
    return [
        FitReport(_brought_back(own), one.data.n, one.n_steps, mean, order_digest(order))
        if math.isfinite(mean)
        else Diverged(f"Loss of client {one.streams.client_id} is {mean}.")
        for own, one, mean, order in zip(tensors, asked, means, orders, strict=True)
    ]


@torch.no_grad()
def _read_out(values: dict[str, torch.Tensor], client: int, like: Tensors) -> Tensors:
    """A client's values as they are now, on the device: others are still being trained."""
    return {
        name: stacked[client][leading(like[name].shape)].clone(memory_format=torch.contiguous_format)
        for name, stacked in values.items()
    }


def _brought_back(tensors: Tensors) -> Tensors:
    return {name: tensor.detach().cpu() for name, tensor in tensors.items()}


@torch.no_grad()
def _clip_each(parameters: Sequence[torch.nn.Parameter], max_norm: float) -> None:
    """As `torch.nn.utils.clip_grad_norm_`, of each client's gradients alone."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norms = torch.stack([gradient.flatten(1).norm(dim=1) for gradient in gradients]).norm(dim=0)
    factors = (max_norm / (norms + 1e-6)).clamp(max=1)
    for gradient in gradients:
        gradient.mul_(factors.view(-1, *[1] * (gradient.ndim - 1)))


class _Pulls:
    """The share of penalties and corrections in the gradients: mu (y - anchor) + correction, each client's own."""

    def __init__(self, adapted: Adapted, asked: Sequence[Asked], trained: Sequence[str]) -> None:
        chosen = {name: adapted.trainable[name] for name in trained}
        requests = [one.request for one in asked]
        mus = [0.0 if one.penalty is None else one.penalty.mu for one in requests]
        anchors = [one.start if one.penalty is None else one.penalty.anchor or one.start for one in requests]
        nothing = {name: torch.zeros_like(parameter) for name, parameter in chosen.items()}
        corrections = [one.correction or nothing for one in requests]
        self._anchors = _stacked(anchors, chosen) if any(mus) else None
        self._mus = [one.new_tensor(mus) for one in chosen.values()] if any(mus) else []
        self._corrections = _stacked(corrections, chosen) if any(one.correction for one in requests) else None

    @torch.no_grad()
    def add_to_gradients(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        if self._anchors is None and self._corrections is None:
            return
        for i, parameter in enumerate(parameters):
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            if self._anchors is not None:
                mus = self._mus[i].view(-1, *[1] * (parameter.ndim - 1))
                parameter.grad.addcmul_(parameter - self._anchors[i], mus)
            if self._corrections is not None:
                parameter.grad.add_(self._corrections[i])


def _stacked(clients: Sequence[Tensors], chosen: dict[str, torch.nn.Parameter]) -> list[torch.Tensor]:
    return [torch.stack(one) for one in zip(*(padded(tensors, chosen) for tensors in clients), strict=True)]
