"""The sequential engine: one client after the other on one adapted backbone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fedgen_bench import wire
from fedgen_bench.errors import BudgetError, PluginError
from fedgen_bench.killpoints import passing
from fedgen_bench.records import ClientContext, Examples, Fit, FitReport, Header, Payload, Tensors, Update
from fedgen_bench.seeds import guarded_globals
from fedgen_bench.trainer import Place, TrainingPlan, batch_order, fit, order_digest

if TYPE_CHECKING:
    from fedgen_bench.protocols import Adapted, Strategy, Task


@dataclass(frozen=True)
class ClientTask:
    """One client's part of a round: the encoded payload (None: nothing was sent), its context and its data."""

    ctx: ClientContext
    message: bytes | None
    data: Examples


@dataclass(frozen=True)
class ClientOutcome:
    """What came back: the encoded update (None: nothing is sent), the new private state, and figures."""

    client_id: int
    message: bytes | None
    n_examples: int
    keep: Tensors | None
    mean_loss: float
    batch_digest: str


@dataclass(frozen=True)
class LocalEngine:
    """Runs tasks where it stands. A client may use `max_fits` step budgets in a round, no more."""

    strategy: Strategy
    adapted: Adapted
    task: Task
    plan: TrainingPlan
    max_fits: int

    def run(self, tasks: Iterable[ClientTask]) -> Iterator[ClientOutcome]:
        """Outcomes in the order of the tasks, each computed when it is asked for."""
        return (self._one(task) for task in tasks)

    def _one(self, task: ClientTask) -> ClientOutcome:
        ctx = task.ctx
        payload = None if task.message is None else Payload(wire.decode(task.message)[1])
        passing("client.received")
        reports: list[FitReport] = []
        update = self._drive(payload, task, reports)
        passing("client.fitted")
        header = Header(ctx.round_index, ctx.client_id, update.n_examples)
        message = wire.encode(update.tensors, header) if update.tensors else None
        passing("client.replied")
        loss = sum(one.mean_loss for one in reports) / len(reports) if reports else 0.0
        return ClientOutcome(
            ctx.client_id, message, update.n_examples, update.keep, loss, self._batch_digest(task, reports)
        )

    def _batch_digest(self, task: ClientTask, reports: list[FitReport]) -> str:
        """Of the batches that a whole budget takes; a shorter first fit took their beginning."""
        ctx = task.ctx
        if reports and reports[0].n_steps == ctx.local_steps:
            return reports[0].batch_digest
        place = Place(ctx.seeds, ctx.round_index, ctx.client_id)
        return order_digest(batch_order(task.data.n, self.plan.batch_size, ctx.local_steps, place.batch_generator()))

    def _drive(self, payload: Payload | None, task: ClientTask, reports: list[FitReport]) -> Update:
        """Advance the strategy's generator, answering each `Fit`; the global generators are watched around it."""
        name = type(self.strategy).__name__
        steps_left = task.ctx.local_steps * self.max_fits
        half = self.strategy.client(payload, task.ctx)
        report: Any = None
        while True:
            try:
                with guarded_globals(f"{name}.client"):
                    request = half.send(report)
            except StopIteration as end:
                update = end.value
                break
            if not isinstance(request, Fit):
                raise PluginError(f"{name}.client yielded a {type(request).__name__}. Yield `Fit` requests.")
            place = Place(task.ctx.seeds, task.ctx.round_index, task.ctx.client_id, len(reports))
            n_steps = task.ctx.local_steps if request.n_steps is None else request.n_steps
            if not 0 < n_steps <= steps_left:
                raise BudgetError(
                    f"{name} asks for {n_steps} local steps where 1 to {steps_left} are left. Ask for no more than "
                    "`ctx.local_steps`."
                )
            report = fit(self.adapted, self.task, task.data, request, self.plan, place, n_steps)
            steps_left -= n_steps
            reports.append(report)
        if not isinstance(update, Update):
            raise PluginError(f"{name}.client returned a {type(update).__name__}. Return an `Update`.")
        n_examples: object = update.n_examples
        if not isinstance(n_examples, int | float):
            kind = type(n_examples).__name__
            raise PluginError(f"{name}.client returned n_examples as a {kind}. Return `fit.n_examples`, an int.")
        return update
