"""What a strategy declares in its spec, each promise as a check."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from fedgen_bench.contract.aggregation import weighted_mean
from fedgen_bench.contract.messages import Model, Update
from fedgen_bench.contract.specs import StrategySpec
from fedgen_bench.federation.client_states import own_part
from fedgen_bench.federation.merges import split_merges
from fedgen_bench.federation.statecodec import laid_out
from fedgen_bench.federation.wire import tensor_bytes
from fedgen_bench.testing.bits import same_bits
from fedgen_bench.testing.simulation import Simulation
from fedgen_bench.testing.toy_models import function_of

if TYPE_CHECKING:
    import torch

Check = Callable[[StrategySpec], None]
FindStrategy = Callable[[str], StrategySpec]
TOLERANCE = 1e-5


def close(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    """Within 1e-5 of the larger of `theirs` and 1 (the toy world's scale)."""
    return float((ours - theirs).norm()) <= TOLERANCE * max(float(theirs.norm()), 1.0)


def functions(simulation: Simulation) -> dict[int | None, torch.Tensor]:
    """The toy weights of everything that is exported: by client, None for the global model."""
    exports = {i: simulation.export(i) for i in (None, *range(simulation.n_clients))}
    return {i: function_of(simulation.adapted, found) for i, found in exports.items() if found is not None}


def check_reduces_to(spec: StrategySpec, find: FindStrategy) -> None:
    """With the parameters that the spec names, the global model is the other method's after three rounds.

    Where one of the two has none, the clients' own models are compared.
    """
    for name, params in spec.reduces_to.items():
        ours = Simulation(spec, spec.params(**params)).run()
        theirs = Simulation(find(name), low_rank=ours.low_rank).run()
        mine, other = functions(ours), functions(theirs)
        both = mine.keys() & other.keys()
        for client in {None} & both or both:
            who = "the global model" if client is None else f"client {client}"
            assert close(mine[client], other[client]), (
                f"{who} is {mine[client].tolist()}, under `{name}` it is {other[client].tolist()}"
            )
        assert both, f"nothing that both `{spec.name}` and `{name}` export"


def check_exact(spec: StrategySpec) -> None:
    """The global function is the mean of the clients' own: it moves by sum_k p_k s_k B_k A_k, p_k = n_k / sum n."""
    simulation = Simulation(spec, note=True)
    for _ in range(3):
        simulation.run(1)
        cohort, updates = simulation.cohort(len(simulation.rounds) - 1), simulation.rounds[-1].updates
        total = sum(update.n_examples for update in updates)
        realised = simulation.function().double()
        ideal = realised.new_zeros(realised.shape)
        for client_id, update in zip(cohort, updates, strict=True):
            own = function_of(simulation.adapted, simulation.trained[client_id].model).double()
            ideal += update.n_examples / total * own
        assert close(realised, ideal), (
            f"round {len(simulation.rounds) - 1} gives {realised.tolist()}, the clients' mean is {ideal.tolist()}"
        )


def check_averages(spec: StrategySpec) -> None:
    """All clients are sent alike and send that back, and one update that is the others' mean gives the same state."""
    simulation = Simulation(spec).run(1)
    before = simulation.state
    this = simulation.run(1).rounds[-1]
    sent = next(iter(this.payloads.values()), {})
    for client_id, payload in this.payloads.items():
        assert same_bits(payload, sent), f"client {client_id} is sent other tensors than the first client"
    assert this.updates[0].tensors, "updates carry nothing"
    for name, tensor in this.updates[0].tensors.items():
        known = sent.get(name, tensor.new_zeros(0))
        assert known.shape == tensor.shape, f"`{name}` is sent back and was not received so"
        assert tensor.is_floating_point(), f"`{name}` is no floating point, so it has no mean"
    mean = Update(weighted_mean(iter(this.updates)), 1)
    after = simulation.strategy.aggregate(before, iter([mean]), simulation.round_context(1))
    ours, theirs = laid_out(after), laid_out(simulation.state)
    assert ours[1] == theirs[1], "the mean in the place of all updates gives another state"
    for path, tensor in ours[0].items():
        assert close(tensor, theirs[0][path]), f"the mean in the place of all updates gives another state at `{path}`"


def check_sends_from_keep(spec: StrategySpec) -> None:
    """Private states that are lost after every round change no global state: clients send from what they received."""
    ours, theirs = (laid_out(Simulation(spec, forget=forget).run().state)[0] for forget in (False, True))
    for path, tensor in ours.items():
        assert tensor.equal(theirs[path]), (
            f"without private states the global state differs at `{path}`: declare `sends_from_keep=True`"
        )


def check_mixed_rank(spec: StrategySpec) -> None:
    """Clients of ranks 2 and 1: each trains factors of its own rank, and all that is exported loads and has learnt."""
    simulation = Simulation(spec, client_ranks=(2, 1), note=True)
    start = functions(simulation)
    simulation.run()
    for client_id, trained in simulation.trained.items():
        for pair in simulation.adapted.ranks_of(client_id):
            ranks = {len(trained.request.start[pair.a]), trained.request.start[pair.b].shape[1]}
            assert ranks == {pair.rank}, f"client {client_id} of rank {pair.rank} trains factors of rank {ranks}"
    exported = functions(simulation)
    assert all(bool(function.isfinite().all()) for function in exported.values()), "an export is not finite"
    assert any(not close(function, start[i]) for i, function in exported.items() if i in start), (
        "training changed nothing"
    )


def check_stateful(spec: StrategySpec) -> None:
    """Private states are written, and a run that loses them after every round ends with other models."""
    simulation = Simulation(spec).run()
    assert any(own_part(keep) for keep in simulation.keeps.values()), "no private state is written"
    forgetful = Simulation(spec, forget=True).run()
    clients = (None, *range(simulation.n_clients))
    assert any(not same_bits(simulation.exported(i), forgetful.exported(i)) for i in clients), (
        "private states make no difference"
    )


def check_changes_backbone(spec: StrategySpec) -> None:
    """Every client gets each update of the backbone exactly once, absentees when they are back; each is booked."""
    simulation = Simulation(spec).run(4)
    exported = simulation.export()
    assert isinstance(exported, Model), "the global model names no updates of the backbone: export a `Model`"
    assert exported.merges, "the backbone never changed"
    had = dict.fromkeys(range(simulation.n_clients), 0)
    for this in simulation.rounds:
        booked = {entry.client_id: entry.tensor_bytes for entry in this.ledger if entry.direction == "down"}
        for client_id, travelled in this.payloads.items():
            tensors, merges = split_merges(travelled)
            expected = exported.merges[had[client_id] : had[client_id] + len(merges)]
            assert len(merges) == len(expected), f"client {client_id} gets an update of the backbone twice"
            for got, wanted in zip(merges, expected, strict=True):
                assert same_bits(got, wanted), (
                    f"client {client_id} gets other updates of the backbone than are exported"
                )
            had[client_id] += len(merges)
            assert booked[client_id] == tensor_bytes(tensors) + sum(map(tensor_bytes, merges)), "merges are not booked"
    last = simulation.rounds[-1].payloads
    assert len({had[client_id] for client_id in last}) == 1, f"clients of one round have {had} updates of the backbone"


def declared_checks(spec: StrategySpec) -> Iterator[Check]:
    """The checks of what the spec declares, but for `reduces_to`, which needs the other strategies."""
    if spec.exact:
        yield check_exact
    if spec.averages:
        yield check_averages
        if not spec.sends_from_keep:
            yield check_sends_from_keep
    if spec.mixed_rank:
        yield check_mixed_rank
    if spec.stateful:
        yield check_stateful
    if spec.changes_backbone:
        yield check_changes_backbone
