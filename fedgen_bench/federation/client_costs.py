"""What a cell asks of one client: the first client's part of the first round, counted and measured without a result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from fedgen_bench.base.guards import guarded
from fedgen_bench.contract.data import Examples, Tensors
from fedgen_bench.contract.messages import FitReport
from fedgen_bench.federation.asked import Asked
from fedgen_bench.federation.costs import step_flops
from fedgen_bench.federation.exchange import begin
from fedgen_bench.federation.peak import alive
from fedgen_bench.federation.release import own
from fedgen_bench.federation.trainer import fit
from fedgen_bench.federation.wire import tensor_bytes
from fedgen_bench.results.costs import ClientCosts

if TYPE_CHECKING:
    from fedgen_bench.federation.experiment import Experiment
    from fedgen_bench.federation.trainer import TrainingPlan

_STEPS = 2  # the first makes the optimizer's moments, which the second holds from its beginning


@dataclass(frozen=True, kw_only=True)
class FirstPart:
    """A client's part of the first round, gone through with fits that change nothing.

    Args:
        asked: the fits.
        down_bytes: of the encoded message to it; 0 where nothing is sent.
        up_bytes: of its reply.
        received: what it was sent.
        keep: its private state afterwards.
        local_steps: its step budget.
    """

    asked: Sequence[Asked]
    down_bytes: int
    up_bytes: int
    received: Tensors
    keep: Tensors
    local_steps: int

    @property
    def n_steps(self) -> int:
        """Of all fits."""
        return sum(one.n_steps for one in self.asked)

    def steps_of(self, local_steps: int) -> float:
        """Of all fits of a client with another budget."""
        return self.n_steps * local_steps / self.local_steps


def first_part(experiment: Experiment) -> FirstPart:
    """Of the first client of the first round. Raises as a rehearsal does."""
    state, client_id = experiment.first_state(), experiment.cohort(0)[0]
    ctx = experiment.context(0, client_id, {})
    with guarded(f"{experiment.strategy_name}.send", ctx=ctx, state=state):
        payload = experiment.strategy.send(own(state), ctx)
    task, exchange = begin(experiment.link, payload, ctx, {})
    asked: list[Asked] = []

    def unchanged(one: Asked) -> FitReport:
        asked.append(one)
        return FitReport(dict(one.request.start), ctx.n_examples, one.n_steps, 0.0, "")

    outcome = experiment.work().run(task, unchanged)
    return FirstPart(
        asked=tuple(asked),
        down_bytes=len(task.message or b""),
        up_bytes=len(outcome.message or b""),
        received=exchange.received,
        keep=outcome.keep or {},
        local_steps=ctx.local_steps,
    )


def costs_of(experiment: Experiment) -> ClientCosts | None:
    """What the cell asks of a client; None where nothing is trained, and of a trial.

    None also where that cannot be told: a model that trains need not be one whose operations can be followed.
    """
    if experiment.cohort_kind == "none" or experiment.spec.purpose == "tune":
        return None
    try:
        return client_costs(experiment, first_part(experiment))
    except Exception:  # noqa: BLE001 - foreign code under modes of torch that it need not know
        return None


def client_costs(experiment: Experiment, part: FirstPart) -> ClientCosts:
    """Counted and measured on the experiment's device, which takes about as long as five local steps."""
    adapted, plan = experiment.adapted, _whole(experiment)
    adapted.fold(())
    model_bytes = sum(one.nbytes for one in (*adapted.module.parameters(), *adapted.module.buffers()))
    brought = tensor_bytes({name: one for name, one in adapted.trainable.items() if name in part.received})
    travels = experiment.cohort_kind == "sampled"
    return ClientCosts(
        step_flops=mean_step_flops(experiment, part),
        training_bytes=max(_training_bytes(experiment, one, plan) for one in part.asked),
        model_bytes=model_bytes,
        private_bytes=tensor_bytes(part.keep),
        joining_bytes=model_bytes - brought + part.down_bytes if travels else None,
    )


def mean_step_flops(experiment: Experiment, part: FirstPart) -> int:
    """FLOPs of a local step on a whole batch, the mean over the steps of all fits of the client's part."""
    adapted, plan = experiment.adapted, _whole(experiment)
    counted: dict[frozenset[str] | None, int] = {}
    for one in part.asked:
        if (trained := one.request.trainable) not in counted:
            example = _repeated(one.data, 1, experiment.evaluator.device).tensors
            with guarded(f"{type(experiment.task).__name__}.loss"):
                counted[trained] = step_flops(adapted, experiment.task, example, plan, trained)
    return round(sum(one.n_steps * counted[one.request.trainable] for one in part.asked) / part.n_steps)


def _training_bytes(experiment: Experiment, asked: Asked, plan: TrainingPlan) -> int:
    """Of some steps of a fit on whole batches, at a rate of 0."""
    adapted = experiment.adapted
    data = _repeated(asked.data, plan.batch_size, experiment.evaluator.device)
    held = (*adapted.module.parameters(), *adapted.module.buffers())
    with guarded(f"{type(experiment.task).__name__}.loss"), alive(held) as followed:  # a guard's tensors are none
        fit(adapted, experiment.task, data, asked.request, plan.at(0.0), asked.streams, _STEPS)
    return followed.peak_bytes


def _whole(experiment: Experiment) -> TrainingPlan:
    """The plan, with batches that whoever holds most can fill."""
    most = experiment.population.most_held(experiment.cohort_kind)
    return replace(experiment.plan, batch_size=min(experiment.plan.batch_size, most))


def _repeated(data: Examples, n: int, device: torch.device) -> Examples:
    """The first example, so many times."""
    return Examples({name: torch.cat([rows[:1]] * n).to(device) for name, rows in data.tensors.items()}, n)
