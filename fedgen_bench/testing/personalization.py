"""How a client goes on after the last round, as a check: what `personalize` asks for, or plain training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fedgen_bench.base.errors import FedgenError
from fedgen_bench.contract.messages import Fit, FitReport, Model
from fedgen_bench.contract.protocols import Personalizing
from fedgen_bench.contract.specs import StrategySpec
from fedgen_bench.federation.batches import FitStreams
from fedgen_bench.federation.client_states import own_part
from fedgen_bench.federation.trainer import check_trainable, fit
from fedgen_bench.testing.bits import fingerprint
from fedgen_bench.testing.locations import at
from fedgen_bench.testing.promises import close
from fedgen_bench.testing.simulation import Simulation
from fedgen_bench.testing.structure import described
from fedgen_bench.testing.toy_federation import SEEDS
from fedgen_bench.testing.toy_models import function_of

if TYPE_CHECKING:
    from fedgen_bench.contract.contexts import ClientContext


def check_personalize(spec: StrategySpec) -> None:
    """A client goes on from its exported model, with its private state and without it, by a fit that can be trained."""
    for ranks in ((), (2, 1)) if spec.mixed_rank else ((),):
        simulation = Simulation(spec, client_ranks=ranks).run()
        method = getattr(simulation.instance, "personalize", simulation.instance.export)
        for client_id in range(simulation.n_clients):
            kept = own_part(simulation.keeps.get(client_id, {}))
            for keep in ({}, kept) if kept else ({},):
                with at(method):
                    _goes_on(simulation, simulation.context(len(simulation.rounds), client_id, keep))


def _goes_on(simulation: Simulation, ctx: ClientContext) -> None:
    who = f"{simulation.spec.name}.personalize, client {ctx.client_id} with {'a' if ctx.keep else 'no'} private state"
    exported = simulation.instance.export(simulation.state, ctx)
    if exported is None:
        return
    model = exported if isinstance(exported, Model) else Model(exported)
    request = _request(simulation, ctx, model, who)
    try:
        here, there = (function_of(simulation.adapted, one) for one in (Model(request.start, request.merges), model))
        names = check_trainable(simulation.adapted, request)
    except FedgenError as error:
        raise AssertionError(f"{who}: {error}") from error
    assert close(here, there), f"{who}: it begins at {here.tolist()}, the exported model is {there.tolist()}"
    pulls = (request.penalty.anchor if request.penalty is not None else None, request.correction)
    for pull in filter(None, pulls):
        assert pull.keys() >= set(names), f"{who}: its pull lacks `{min(set(names) - pull.keys())}`, which is trained"
    report = _trained(simulation, ctx, request)
    for name, tensor in report.tensors.items():
        assert bool(tensor.isfinite().all()), f"{who}: `{name}` is not finite after a step"
        assert name in names or tensor.equal(request.start[name]), f"{who}: `{name}` moved, which is not trained"


def _request(simulation: Simulation, ctx: ClientContext, model: Model, who: str) -> Fit:
    strategy, state = simulation.instance, simulation.state
    if not isinstance(strategy, Personalizing):
        return Fit(model.tensors, merges=model.merges)
    before = fingerprint((state, ctx))
    request: Any = strategy.personalize(state, ctx)
    assert fingerprint((state, ctx)) == before, f"{who}: it changed its arguments"
    assert isinstance(request, Fit), f"{who}: it returned {described(request)}. Return a `Fit`."
    return request


def _trained(simulation: Simulation, ctx: ClientContext, request: Fit) -> FitReport:
    streams = FitStreams(SEEDS, ctx.round_index, ctx.client_id)
    data = simulation.examples(ctx.client_id)
    return fit(simulation.adapted, simulation.task, data, request, simulation.plan, streams, n_steps=1)
