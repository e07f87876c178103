"""A client's part of a round, as pure data in and out, and what works it off."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from fedgen_bench.base.errors import BudgetError, PluginError
from fedgen_bench.base.guards import guarded
from fedgen_bench.base.killpoints import passing
from fedgen_bench.contract.contexts import ClientContext
from fedgen_bench.contract.data import Examples, Tensors
from fedgen_bench.contract.messages import Fit, FitReport, Header, Payload, Update
from fedgen_bench.data.catalog import Places
from fedgen_bench.federation import wire
from fedgen_bench.federation.compression import other_layout
from fedgen_bench.federation.link import Link
from fedgen_bench.federation.merges import split_merges
from fedgen_bench.federation.trainer import Place, TrainingPlan, batch_order, fit, order_digest

if TYPE_CHECKING:
    import torch

    from fedgen_bench.contract.adapting import Adapted
    from fedgen_bench.contract.protocols import Attack, Strategy, Task
    from fedgen_bench.suite.suites import RunSpec

RESIDUAL = "#residual/"  # names that begin with # are the core's
Answer = Callable[[Fit, int, Place], FitReport]


@dataclass(frozen=True)
class Recipe:
    """What another process needs to build the same `ClientWork`."""

    spec: RunSpec
    device: str
    data: Places = field(default_factory=Places)
    plugin_files: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClientTask:
    """One client's part of a round.

    Args:
        message: the encoded payload; None when nothing was sent.
        like: layout of the payload's tensors before compression (values are not used).
        keep: the client's private state, the core's part of it included.
        kept_in: see `ClientContext`.
        merges: updates of the backbone that the client has already; the message has the later ones.
    """

    round_index: int
    client_id: int
    message: bytes | None
    like: Tensors
    keep: Tensors
    kept_in: int = -1
    merges: tuple[Tensors, ...] = ()


@dataclass(frozen=True)
class ClientOutcome:
    """What came back, and figures. No message: nothing is sent. No keep: the private state stays as it is."""

    client_id: int
    message: bytes | None
    n_examples: int
    keep: Tensors | None
    mean_loss: float
    batch_digest: str


def own_part(keep: Tensors) -> Tensors:
    """A strategy's part of a private state."""
    return {name: tensor for name, tensor in keep.items() if not name.startswith("#")}


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
        recipe: how another process builds the same; None where there is no other.
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
    recipe: Recipe | None = None

    def run(self, task: ClientTask, answer: Answer | None = None) -> ClientOutcome:
        """The outcome of one task. `answer` replaces training in a rehearsal.

        Raises:
            PluginError: the client half breaks its contract.
            Diverged: the loss is not a finite number.
        """
        ctx = self.context(task.round_index, task.client_id, own_part(task.keep), task.kept_in)
        payload: Payload | None = None
        received: Tensors = {}
        if task.message is not None:
            packed, merges = split_merges(wire.decode(task.message)[1])
            received = self.link.downlink.decompress(packed, task.like)
            payload = Payload(dict(received), merges=(*task.merges, *merges))
        passing("client.received")
        reports: list[FitReport] = []
        update = self._drive(payload, ctx, reports, answer or self._trained(ctx))
        passing("client.fitted")
        tensors, keep = update.tensors, update.keep
        if self.attack is not None and task.client_id in self.attackers:
            tensors = self._distorted(tensors, received, ctx)
        if tensors:
            tensors, residual = self.link.uplink.pack(tensors, received, _residual(task.keep))
            if residual:
                own = own_part(task.keep) if keep is None else keep
                keep = {**own, **{RESIDUAL + name: tensor for name, tensor in residual.items()}}
        header = Header(ctx.round_index, ctx.client_id, update.n_examples)
        message = wire.encode(tensors, header) if tensors else None
        passing("client.replied")
        loss = sum(one.mean_loss for one in reports) / len(reports) if reports else 0.0
        return ClientOutcome(ctx.client_id, message, update.n_examples, keep, loss, self._batch_digest(ctx, reports))

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
        place = Place(ctx.seeds, ctx.round_index, ctx.client_id)
        n_examples = self.examples(ctx.client_id).n
        return order_digest(batch_order(n_examples, self.plan.batch_size, ctx.local_steps, place.batch_generator()))

    def _trained(self, ctx: ClientContext) -> Answer:
        data = self.examples(ctx.client_id)

        def answer(request: Fit, n_steps: int, place: Place) -> FitReport:
            with guarded(f"{type(self.task).__name__}.loss"):
                return fit(self.adapted, self.task, data, request, self.plan, place, n_steps)

        return answer

    def _drive(self, payload: Payload | None, ctx: ClientContext, reports: list[FitReport], answer: Answer) -> Update:
        """Work the strategy's client half off, answering each `Fit`; every piece of its code is guarded."""
        name = type(self.strategy).__name__
        with guarded(f"{name}.client"):
            half = self.strategy.client(payload, ctx)
        try:
            update = self._through(half, payload, ctx, reports, answer)
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
        answer: Answer,
    ) -> Any:
        """What the client half returns; `reports` gets the answers to its requests."""
        name = type(self.strategy).__name__
        steps_left = ctx.local_steps * self.max_fits
        while True:
            request, ended = _advanced(f"{name}.client", half, reports[-1] if reports else None, payload, ctx)
            if ended:
                return request
            if not isinstance(request, Fit):
                raise PluginError(f"{name}.client yielded a {type(request).__name__}. Yield `Fit` requests.")
            place = Place(ctx.seeds, ctx.round_index, ctx.client_id, len(reports))
            n_steps = ctx.local_steps if request.n_steps is None else request.n_steps
            if not 0 < n_steps <= steps_left:
                raise BudgetError(
                    f"{name} asks for {n_steps} local steps where 1 to {steps_left} are left. Ask for no more than "
                    "`ctx.local_steps`."
                )
            reports.append(answer(request, n_steps, place))
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


def _residual(keep: Tensors) -> Mapping[str, torch.Tensor]:
    return {name.removeprefix(RESIDUAL): one for name, one in keep.items() if name.startswith(RESIDUAL)}


class Engine(Protocol):
    """Runs client tasks somewhere; used for one cell after the other and closed at the end."""

    def run(self, tasks: Iterable[ClientTask], work: ClientWork) -> Iterator[ClientOutcome]:
        """Outcomes in the order of the tasks, which are pure: one that was lost is run again elsewhere.

        Where `work` cannot be used, `fedgen_bench.federation.setting.open_work(work.recipe)` builds it anew.
        """

    def close(self) -> None:
        """Give back processes and connections."""
