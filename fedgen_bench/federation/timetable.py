"""A cell's rounds by the simulated clock, each planned before it is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.guards import guarded
from fedgen_bench.base.spans import span
from fedgen_bench.federation.client_costs import first_part, mean_step_flops
from fedgen_bench.federation.clock import Asking, Rules, timed_round
from fedgen_bench.federation.lengths import Lengths
from fedgen_bench.federation.release import own

if TYPE_CHECKING:
    from fedgen_bench.contract.contexts import ClientContext
    from fedgen_bench.contract.data import Tensors
    from fedgen_bench.contract.reports import RoundClock
    from fedgen_bench.federation.experiment import Experiment
    from fedgen_bench.federation.fleet import Fleet


class Timetable:
    """Plans rounds; a strategy's `send` is asked once more for it, and nothing of it travels."""

    def __init__(self, experiment: Experiment, fleet: Fleet, fits: float) -> None:
        devices = experiment.config.devices
        assert devices is not None
        self.fleet = fleet
        self.rules = Rules(
            first=devices.first,
            deadline=devices.deadline,
            partial=experiment.partial_work,
            fits=fits,
        )
        self._experiment, self._lengths = experiment, Lengths()

    def round(
        self, index: int, state: Any, keep: Callable[[int], Tensors], admitted_in: Mapping[int, int], began: float
    ) -> RoundClock:
        """The round's times; `keep` and `admitted_in` as in `Intake`, `began` in simulated seconds."""
        with span("plan", index):
            return timed_round(self.fleet, self.rules, index, began, self._asked(index, state, keep, admitted_in))

    def _asked(
        self, index: int, state: Any, keep: Callable[[int], Tensors], admitted_in: Mapping[int, int]
    ) -> Iterator[Asking]:
        experiment = self._experiment
        for client_id in experiment.cohort(index):
            ctx = experiment.context(index, client_id, {}, admitted_in.get(client_id, -1))
            down, up = self.lengths(ctx, state, keep(client_id))
            yield Asking(client_id=client_id, down_bytes=down, up_bytes=up, n_steps=ctx.local_steps)

    def lengths(self, ctx: ClientContext, state: Any, keep: Tensors) -> tuple[int, int]:
        """Bytes that a client is sent, and that its answer has."""
        experiment = self._experiment
        with guarded(f"{experiment.strategy_name}.send", ctx=ctx, state=state):
            payload = experiment.strategy.send(own(state), ctx)
        return self._lengths.of(experiment.link, payload, ctx, keep)


def timetable_of(experiment: Experiment) -> Timetable | None:
    """What plans the cell's rounds; None where the suite has no devices, or the data are in one place."""
    fleet = experiment.fleet
    if fleet is None or experiment.cohort_kind != "sampled":
        return None
    with span("count"):
        part = first_part(experiment)
        if fleet.devices[0].states[0].flops is not None:
            fleet = replace(fleet, step_flops=float(mean_step_flops(experiment, part)))
    return Timetable(experiment, fleet, part.steps_of(1))
