"""What every strategy must hold, each as a plain function of its spec that raises AssertionError."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fedgen_bench.contract.data import Tensors
from fedgen_bench.contract.messages import Model, Update
from fedgen_bench.contract.specs import StrategySpec
from fedgen_bench.testing.absorbing import check_absorb
from fedgen_bench.testing.answers import check_rehearsal
from fedgen_bench.testing.bits import same_bits
from fedgen_bench.testing.locations import at
from fedgen_bench.testing.personalization import check_personalize
from fedgen_bench.testing.promises import close, declared_checks
from fedgen_bench.testing.simulation import Simulation
from fedgen_bench.testing.toy_federation import SHARDS
from fedgen_bench.testing.toy_models import function_of

if TYPE_CHECKING:
    import torch

Check = Callable[[StrategySpec], None]


def _assert_same_run(ours: Simulation, theirs: Simulation, why: str) -> None:
    mine, other = ours.outcome(), theirs.outcome()
    assert len(mine) == len(other), why
    assert all(same_bits(a, b) for a, b in zip(mine, other, strict=True)), why


def check_deterministic(spec: StrategySpec) -> None:
    """The same inputs give the same bits."""
    _assert_same_run(Simulation(spec).run(), Simulation(spec).run(), "two equal runs differ")


def check_no_hidden_state(spec: StrategySpec) -> None:
    """Everything that a later round needs is in the state and the clients' private states, nothing in the instance."""
    _assert_same_run(
        Simulation(spec).run(), Simulation(spec, rebuild=True).run(), "a fresh instance in every call changes the run"
    )


def check_survives_checkpoint(spec: StrategySpec) -> None:
    """A run whose state and private states are stored and read back after every round ends with the same bits."""
    _assert_same_run(Simulation(spec).run(), Simulation(spec, codec=True).run(), "a resumed run ends differently")


def check_arguments_unchanged(spec: StrategySpec) -> None:
    """State, start, payloads, updates, reports and private states are the caller's: no call changes them."""
    simulation = Simulation(spec, watch=True).run()
    simulation.export()
    simulation.export(0)


def check_global_generators_unmoved(spec: StrategySpec) -> None:
    """No call moves a global generator of `random`, numpy or torch (the simulation watches each)."""
    Simulation(spec).run().outcome()


def check_export_layout(spec: StrategySpec) -> None:
    """The adapter can load what is exported (its names, its shapes or lower ranks, its dtypes), trained or not."""
    for n_rounds in (0, 2):
        simulation = Simulation(spec).run(n_rounds)
        exports = [simulation.export(), *(simulation.export(i) for i in range(simulation.n_clients))]
        assert any(found is not None for found in exports), "neither a global model nor a client's own is exported"
        for found in exports:
            if found is not None:
                function_of(simulation.adapted, found)
                tensors = found.tensors if isinstance(found, Model) else found
                for name, start in simulation.start.items():
                    assert tensors[name].dtype == start.dtype, f"{name}: exported dtype differs"


def check_execution_order(spec: StrategySpec) -> None:
    """The order in which a round's clients are trained does not matter: updates are summed by client id."""
    _assert_same_run(
        Simulation(spec).run(),
        Simulation(spec, backwards=True).run(),
        "training clients in another order changes the run",
    )


def check_name_order(spec: StrategySpec) -> None:
    """The order of names in tensor maps does not matter."""
    _assert_same_run(
        Simulation(spec).run(), Simulation(spec, reorder=True).run(), "another order of names changes the run"
    )


def check_trains(spec: StrategySpec) -> None:
    """After a round something exported differs from the start."""
    simulation = Simulation(spec).run(1)
    exports = [simulation.exported(), *(simulation.exported(i) for i in range(simulation.n_clients))]
    assert any(exported is not None and not same_bits(exported, simulation.start) for exported in exports), (
        "training changed nothing"
    )


def check_booked_bytes(spec: StrategySpec) -> None:
    """Every booked length is the encoding's, and its tensor part the sum of numel x itemsize of what was sent."""
    from fedgen_bench.federation.wire import decode, tensor_bytes

    simulation = Simulation(spec).run(2)
    for this in simulation.rounds:
        if spec.cohort == "pooled":  # nothing travels
            assert not this.ledger, "pooled data are booked as if they travelled"
            continue
        for entry, message in zip(this.ledger, this.messages, strict=True):
            assert entry.encoded_bytes == len(message) == entry.tensor_bytes + entry.header_bytes
            assert entry.tensor_bytes == tensor_bytes(decode(message)[1]), "the tensor part is not what was sent"
        down = sum(entry.tensor_bytes for entry in this.ledger if entry.direction == "down")
        assert down == sum(map(tensor_bytes, this.payloads.values())), "payloads and ledger disagree"
        up = sum(entry.tensor_bytes for entry in this.ledger if entry.direction == "up")
        assert up == sum(tensor_bytes(update.tensors) for update in this.updates), "updates and ledger disagree"


def check_client_without_data(spec: StrategySpec) -> None:
    """A client that holds no data is never asked; the others' rounds go on, and its own export can be loaded."""
    simulation = Simulation(spec, shards=(*SHARDS[:2], (), *SHARDS[2:])).run()
    for found in (simulation.export(), simulation.export(0 if spec.cohort == "pooled" else 2)):
        assert found is None or _is_finite(function_of(simulation.adapted, found)), "an export is not finite"


def check_one_client(spec: StrategySpec) -> None:
    """One client: the global model is that client's own, to the bit (LoRA factors, server steps: in fp32 precision)."""
    simulation = Simulation(spec, _plain_params(spec), shards=SHARDS[1:2], note=True).run(1)
    (update,) = simulation.rounds[0].updates
    _assert_global_is(simulation, simulation.state, update.tensors, simulation.trained[0].model)


def check_identical_clients(spec: StrategySpec) -> None:
    """Clients that return the same: the global model is theirs, with the precision of one client's."""
    simulation = Simulation(spec, _plain_params(spec), note=True)
    before = simulation.state
    simulation.run(1)
    tensors = simulation.rounds[0].updates[0].tensors
    updates = [Update(dict(tensors), n) for n in (7, 1, 3, 22)]
    round_ctx = replace(simulation.round_context(0), cohort=(0, 1, 2, 3))
    state: Any = simulation.strategy.aggregate(before, iter(updates), round_ctx)
    _assert_global_is(simulation, state, tensors, simulation.trained[simulation.cohort(0)[0]].model)


def _plain_params(spec: StrategySpec) -> Any:
    """Parameters under which what clients agree on comes back: the defaults, or those of a server step's reduction."""
    reductions = list(spec.reduces_to.values()) if spec.server_step else []
    return spec.params(**reductions[0]) if reductions else spec.params()


def _assert_global_is(simulation: Simulation, state: Any, sent: Tensors, trained: Model) -> None:
    """The global function, or every tensor of the model that was sent: private ones are not, and more may be."""
    with at(simulation.instance.aggregate):
        _assert_same_model(simulation, state, sent, trained)


def _assert_same_model(simulation: Simulation, state: Any, sent: Tensors, trained: Model) -> None:
    hint = (
        " A server that steps by itself names in `reduces_to` the parameters under which it is another method, or says "
        "in `exceptions` why this check cannot hold."
        if simulation.spec.server_step and not simulation.spec.reduces_to
        else ""
    )
    exported = simulation.strategy.export(state, None)
    if simulation.low_rank:
        ours, theirs = (function_of(simulation.adapted, one) for one in (exported, trained))
        assert close(ours, theirs), f"the clients' function {theirs.tolist()} comes back as {ours.tolist()}.{hint}"
        return
    common = exported.keys() & sent.keys()
    assert common, "no tensor of the global model is among what clients send"
    for name in common:
        same = close(exported[name], sent[name]) if simulation.spec.server_step else exported[name].equal(sent[name])
        assert same, f"the clients' `{name}` comes back changed.{hint}"


def _is_finite(values: torch.Tensor) -> bool:
    return bool(values.isfinite().all())


_ALWAYS: tuple[Check, ...] = (
    check_rehearsal,
    check_global_generators_unmoved,
    check_arguments_unchanged,
    check_deterministic,
    check_no_hidden_state,
    check_survives_checkpoint,
    check_export_layout,
)
_TRAINED: tuple[Check, ...] = (
    check_execution_order,
    check_name_order,
    check_trains,
    check_booked_bytes,
    check_client_without_data,
    check_personalize,
    check_absorb,
)
_AVERAGED: tuple[Check, ...] = (check_one_client, check_identical_clients)
_PURE = ("check_global_generators_unmoved", "check_arguments_unchanged", "check_deterministic")
_LEARNS = (*_PURE, "check_no_hidden_state", "check_trains")
# By check: the ones without which it says nothing new. Those come first wherever checks are listed.
NEEDS: Mapping[str, tuple[str, ...]] = {
    "check_arguments_unchanged": _PURE[:1],
    "check_deterministic": _PURE[:2],
    "check_no_hidden_state": _PURE,
    "check_survives_checkpoint": (*_PURE, "check_no_hidden_state"),
    "check_execution_order": (*_PURE, "check_no_hidden_state"),
    "check_name_order": (*_PURE, "check_no_hidden_state"),
    "check_trains": _PURE,
    "check_client_without_data": ("check_export_layout",),
    "check_personalize": (*_PURE, "check_export_layout"),
    "check_absorb": (*_PURE, "check_no_hidden_state"),
    "check_one_client": _LEARNS,
    "check_identical_clients": (*_LEARNS, "check_one_client"),
    "check_exact": (*_LEARNS, "check_identical_clients"),
    "check_averages": (*_LEARNS, "check_identical_clients"),
    "check_sends_from_keep": (*_LEARNS, "check_averages"),
    "check_mixed_rank": _LEARNS,
    "check_stateful": _LEARNS,
    "check_changes_backbone": _LEARNS,
    "check_reduces_to": (*_LEARNS, "check_identical_clients"),
}


def strategy_checks(spec: StrategySpec) -> Iterator[Check]:
    """The checks that apply: a strategy without training, updates or global model has nothing to average."""
    yield from _ALWAYS
    if spec.cohort == "none":
        return
    yield from _TRAINED
    if _averages(spec):
        yield from _AVERAGED if spec.cohort == "sampled" else _AVERAGED[:1]
    yield from declared_checks(spec)


def _averages(spec: StrategySpec) -> bool:
    """Whether there is a global model, and updates that it is made of; one that cannot run fails other checks."""
    try:
        simulation = Simulation(spec).run(1)
        return simulation.export() is not None and any(update.tensors for update in simulation.rounds[0].updates)
    except Exception:  # noqa: BLE001 - a strategy may raise anything
        return False
