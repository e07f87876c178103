"""A client's work in a round: receive, the strategy's client half and its fits within the step budget, reply."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.errors import BudgetError, PluginError
from fedgen_bench.base.guards import guarded
from fedgen_bench.base.killpoints import passing
from fedgen_bench.base.spans import span
from fedgen_bench.contract.contexts import ClientContext
from fedgen_bench.contract.data import Examples, Tensors
from fedgen_bench.contract.engines import ClientOutcome, ClientTask, EvaluationTask
from fedgen_bench.contract.messages import Fit, FitReport, Header, Payload, Update
from fedgen_bench.federation import wire
from fedgen_bench.federation.asked import Asked
from fedgen_bench.federation.batches import FitStreams, batch_order, order_digest
from fedgen_bench.federation.blueprint import Blueprint
from fedgen_bench.federation.client_states import own_part
from fedgen_bench.federation.cohort import Answers, in_cohorts, worked_off
from fedgen_bench.federation.compression import other_layout, residual_in, with_residual
from fedgen_bench.federation.link import Link
from fedgen_bench.federation.merges import split_merges
from fedgen_bench.federation.trainer import TrainingPlan, fit

if TYPE_CHECKING:
    from fedgen_bench.contract.adapting import Adapted
    from fedgen_bench.contract.protocols import Attack, Strategy, Task
    from fedgen_bench.federation.evaluation_work import EvaluationWork

Answer = Callable[[Asked], FitReport]


@dataclass(frozen=True, kw_only=True)
class ClientWork:
    """Works off client tasks: decode, the strategy's client half with its fits, encode.

    Args:
        max_fits: step budgets that a client may use in a round.
        context: (round, client, the strategy's private state, kept_in) -> context.
        examples: client -> its training examples.
        link: compressors in front of the wire.
        attack: what hostile clients do.
        attackers: who they are.
        blueprint: how another process builds the same; None where there is no other.
        cohort: clients that are trained in one pass where their fits allow it.
        evaluation: what measures models; None where nobody asks for it.
    """

    strategy: Strategy
    adapted: Adapted
    task: Task
    plan: TrainingPlan
    max_fits: int
    context: Callable[[int, int, Tensors, int], ClientContext]
    examples: Callable[[int], Examples]
    link: Link = field(default_factory=Link)
    attack: Attack | None = None
    attackers: frozenset[int] = frozenset()
    blueprint: Blueprint | None = None
    cohort: int = 1
    evaluation: EvaluationWork | None = None

    def run_each(self, tasks: Iterable[ClientTask]) -> Iterator[ClientOutcome]:
        """Outcomes in the order of the tasks, `cohort` of which are worked off at a time; raises as `run` does."""
        if self.cohort == 1:
            yield from map(self.run, tasks)
            return
        for some in in_cohorts(tasks, self.cohort):
            yield from worked_off([self.working(task) for task in some], self.answers)

    def evaluate_each(self, tasks: Iterable[EvaluationTask]) -> Iterator[Mapping[str, float]]:
        """Metrics in the order of the tasks; raises as `EvaluationWork.each`."""
        assert self.evaluation is not None
        return self.evaluation.each(tasks, self.answers, self.cohort)

    @cached_property
    def answers(self) -> Answers:
        """What answers several fits at once."""
        return Answers(self.adapted, self.task, self.plan, self.fitted)

    def run(self, task: ClientTask, answer: Answer | None = None) -> ClientOutcome:
        """The outcome of one task. `answer` replaces training in a rehearsal.

        Raises:
            PluginError: the client half breaks its contract.
            Diverged: the loss is not a finite number.
        """
        answer = answer or self.fitted
        with contextlib.closing(self.working(task)) as steps:
            asked = next(steps)
            while True:
                try:
                    asked = steps.send(answer(asked))
                except StopIteration as end:
                    outcome: ClientOutcome = end.value
                    return outcome

    def fitted(self, asked: Asked) -> FitReport:
        """Train as asked."""
        with span("fit", asked.streams.client_id), guarded(f"{type(self.task).__name__}.loss"):
            plan = self.plan.at(asked.learning_rate)
            return fit(self.adapted, self.task, asked.data, asked.request, plan, asked.streams, asked.n_steps)

    def working(self, task: ClientTask) -> Generator[Asked, FitReport, ClientOutcome]:
        """One task, worked off by whoever answers the fits; raises as `run` does."""
        whole = self.context(task.round_index, task.client_id, own_part(task.keep), task.kept_in)
        ctx = whole if task.local_steps is None else replace(whole, local_steps=task.local_steps)
        payload: Payload | None = None
        received: Tensors = {}
        if task.message is not None:
            with span("decode", ctx.client_id) as decoding:
                packed, merges = split_merges(wire.decode(task.message)[1])
                received = self.link.downlink.decompress(packed, task.like)
                payload = Payload(dict(received), merges=(*task.merges, *merges))
                decoding.carried(len(task.message))
        passing("client.received")
        reports: list[FitReport] = []
        update = yield from self._drive(payload, ctx, reports)
        passing("client.fitted")
        tensors, keep = update.tensors, update.keep
        with span("reply", ctx.client_id) as replying:
            if self.attack is not None and task.client_id in self.attackers:
                tensors = self._distorted(tensors, received, ctx)
            if tensors:
                tensors, residual = self.link.uplink.pack(tensors, received, residual_in(task.keep))
                if residual:
                    keep = with_residual(own_part(task.keep) if keep is None else keep, residual)
            header = Header(ctx.round_index, ctx.client_id, update.n_examples)
            message = wire.encode(tensors, header) if tensors else None
            replying.carried(len(message or b""))
        passing("client.replied")
        loss = sum(one.mean_loss for one in reports) / len(reports) if reports else 0.0
        return ClientOutcome(
            client_id=ctx.client_id,
            message=message,
            n_examples=update.n_examples,
            keep=keep,
            mean_loss=loss,
            batch_digest=self._batch_digest(whole, reports),
            n_steps=sum(one.n_steps for one in reports),
        )

    def _distorted(self, tensors: Tensors, received: Tensors, ctx: ClientContext) -> Tensors:
        noise = ctx.seeds.torch("batches", round_index=ctx.round_index, client_id=ctx.client_id, purpose="attack")
        what = f"{type(self.attack).__name__}.distort"
        assert self.attack is not None
        with guarded(what, tensors=tensors, received=received):
            distorted = self.attack.distort(dict(tensors), dict(received), noise)
        if problem := other_layout(distorted, tensors):
            raise PluginError(f"{what} gives {problem}. Give back what the update holds, with other values.")
        return distorted

    def _batch_digest(self, ctx: ClientContext, reports: list[FitReport]) -> str:
        """Of the batches that a whole budget takes; a shorter first fit took their beginning."""
        if reports and reports[0].n_steps == ctx.local_steps:
            return reports[0].batch_digest
        return self.batch_digest(ctx)

    def batch_digest(self, ctx: ClientContext) -> str:
        """Of the batches that a whole budget would take, trained or not: what is paired between contenders."""
        order = FitStreams(ctx.seeds, ctx.round_index, ctx.client_id).batch_generator()
        return order_digest(batch_order(ctx.n_examples, self.plan.batch_size, ctx.local_steps, order))

    def _drive(
        self, payload: Payload | None, ctx: ClientContext, reports: list[FitReport]
    ) -> Generator[Asked, FitReport, Update]:
        """Work the strategy's client half off, asking for each `Fit`; every piece of its code is guarded."""
        name = type(self.strategy).__name__
        with guarded(f"{name}.client"):
            half = self.strategy.client(payload, ctx)
        try:
            update = yield from self._through(half, payload, ctx, reports)
        except BaseException:
            with guarded(f"{name}.client"):
                half.close()
            raise
        if not reports:
            raise PluginError(f"{name}.client never yielded. Yield a `Fit` request to train.")
        if not isinstance(update, Update):
            raise PluginError(f"{name}.client returned a {type(update).__name__}. Return an `Update`.")
        n_examples: object = update.n_examples
        if not isinstance(n_examples, int | float):
            kind = type(n_examples).__name__
            raise PluginError(f"{name}.client returned n_examples as a {kind}. Return `fit.n_examples`, an int.")
        return update

    def _through(
        self,
        half: Generator[Fit, FitReport, Update],
        payload: Payload | None,
        ctx: ClientContext,
        reports: list[FitReport],
    ) -> Generator[Asked, FitReport, Any]:
        """What the client half returns; `reports` gets the answers to its requests."""
        name = type(self.strategy).__name__
        steps_left = ctx.local_steps * self.max_fits
        while True:
            request, ended = _advanced(f"{name}.client", half, reports[-1] if reports else None, payload, ctx)
            if ended:
                return request
            if not isinstance(request, Fit):
                raise PluginError(f"{name}.client yielded a {type(request).__name__}. Yield `Fit` requests.")
            if self.plan.example_dp is not None and len(reports) == self.max_fits:
                raise BudgetError(
                    f"{name} asks for more than {self.max_fits} fits in a round, each of which may use an example once "
                    "more than example_dp counts. Ask for fewer, or leave example_dp out."
                )
            streams = FitStreams(ctx.seeds, ctx.round_index, ctx.client_id, len(reports))
            n_steps = ctx.local_steps if request.n_steps is None else request.n_steps
            if not 0 < n_steps <= steps_left:
                raise BudgetError(
                    f"{name} asks for {n_steps} local steps where 1 to {steps_left} are left. Ask for no more than "
                    "`ctx.local_steps`."
                )
            reports.append((yield Asked(request, self.examples(ctx.client_id), streams, n_steps)))
            steps_left -= n_steps


def _advanced(
    what: str, half: Generator[Fit, FitReport, Update], report: Any, payload: Payload | None, ctx: ClientContext
) -> tuple[Any, bool]:
    """What a client half yields next, or what it returns and True."""
    with guarded(what, payload=payload, ctx=ctx, report=report):
        try:
            return half.send(report), False
        except StopIteration as end:
            return end.value, True
