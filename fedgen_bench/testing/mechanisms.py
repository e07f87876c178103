"""What every privacy mechanism must hold."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.guards import guarded
from fedgen_bench.contract.mechanisms import Accounting, Carrying, Change, MechanismContext, Released, Sampling
from fedgen_bench.contract.reports import Privacy
from fedgen_bench.contract.seeds import SeedTree
from fedgen_bench.contract.specs import MechanismSpec
from fedgen_bench.testing.bits import fingerprint, same_bits
from fedgen_bench.testing.compressors import change
from fedgen_bench.testing.locations import at
from fedgen_bench.testing.structure import assert_has, built

if TYPE_CHECKING:
    from fedgen_bench.contract.data import Tensors

Check = Callable[[MechanismSpec], None]
SAMPLING = Sampling(population=40, cohort=4, rounds=3)
ASKED = (2, 3, 11, 30)
CONTEXT = MechanismContext(1, ASKED, SAMPLING, SeedTree("toy", "split", "shards", "contract", 5, "mechanism"))


def changes(answered: Sequence[int] = ASKED) -> list[Change]:
    """What clients changed: floating point of any shape, each client other values."""
    whole = {client_id: change(client_id) for client_id in answered}
    kept = {
        client_id: {name: one.float() for name, one in tensors.items() if one.is_floating_point()}
        for client_id, tensors in whole.items()
    }
    return [Change(client_id, tensors) for client_id, tensors in kept.items()]


def _released(spec: MechanismSpec, mechanism: Any = None, answered: Sequence[int] = ASKED) -> Released:
    mechanism = spec.build(spec.params()) if mechanism is None else mechanism
    released: Released = mechanism.release(mechanism.init(SAMPLING), iter(changes(answered)), CONTEXT)
    return released


def _layout(tensors: Tensors) -> dict[str, Any]:
    return {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}


def _outcome(released: Released) -> list[Any]:
    from fedgen_bench.federation.statecodec import laid_out

    tensors, skeleton = laid_out(released.state)
    return [dict(released.tensors), tensors, skeleton]


def _assert_same(ours: Released, theirs: Released, why: str) -> None:
    (mine, my_state, my_skeleton), (other, its_state, its_skeleton) = _outcome(ours), _outcome(theirs)
    assert my_skeleton == its_skeleton, why
    assert same_bits(mine, other), why
    assert same_bits(my_state, its_state), why


def check_rehearsal(spec: MechanismSpec) -> None:
    """It has its methods; one change comes out, by the names, in the shapes and dtypes of those that went in."""
    mechanism = built("mechanism", spec)
    if spec.carries:
        assert_has(mechanism, Carrying, spec.build)
    with at(mechanism.release), guarded(f"mechanism {spec.name}"):
        released = mechanism.release(mechanism.init(SAMPLING), iter(changes()), CONTEXT)
        assert isinstance(released, Released), f"release gives a {type(released).__name__}, not a `Released`"
        assert _layout(released.tensors) == _layout(changes()[0].tensors), "other tensors come out than went in"
        assert all(bool(one.isfinite().all()) for one in released.tensors.values()), "what comes out is not finite"


def check_deterministic(spec: MechanismSpec) -> None:
    """The same changes in the same round give the same bits, from one instance twice and from a fresh one."""
    mechanism = spec.build(spec.params())
    with guarded(f"mechanism {spec.name}"):
        first = _released(spec, mechanism)
    _assert_same(first, _released(spec, mechanism), "a second call of one instance differs")
    _assert_same(first, _released(spec), "a fresh instance gives another change")


def check_survives_checkpoint(spec: MechanismSpec) -> None:
    """A second round from a state that was stored and read back ends with the same bits."""
    from fedgen_bench.federation.statecodec import decode_state, encode_state

    mechanism = spec.build(spec.params())
    state = _released(spec, mechanism).state
    stored = decode_state(encode_state(state), mechanism.init(SAMPLING))
    later = replace(CONTEXT, round_index=2)
    ours, theirs = (mechanism.release(one, iter(changes()), later) for one in (state, stored))
    _assert_same(ours, theirs, "a resumed round ends differently")


def check_arguments_unchanged(spec: MechanismSpec) -> None:
    """Changes and state stay as they are."""
    mechanism, given = spec.build(spec.params()), changes()
    state = mechanism.init(SAMPLING)
    before = fingerprint([[dict(one.tensors) for one in given], state])
    mechanism.release(state, iter(given), CONTEXT)
    assert fingerprint([[dict(one.tensors) for one in given], state]) == before, "its arguments were changed"


def check_clients_that_do_not_answer(spec: MechanismSpec) -> None:
    """One of the cohort may be missing."""
    released = _released(spec, answered=ASKED[:-1])
    assert all(bool(one.isfinite().all()) for one in released.tensors.values()), "what comes out is not finite"


def check_messages(spec: MechanismSpec) -> None:
    """Where clients send its messages in the place of updates, each is booked once, in a phase of its own."""
    mechanism = spec.build(spec.params())
    if not spec.carries:
        assert not isinstance(mechanism, Carrying), "it has `messages`: declare `carries=True`"
        return
    for answered in (ASKED, ASKED[:-1]):
        entries = list(mechanism.messages(100, answered, CONTEXT))
        keys = [(one.client_id, one.direction, one.phase) for one in entries]
        assert len(set(keys)) == len(keys), "two messages of one client have one direction and phase"
        assert all(one.phase != "fit" for one in entries), "`fit` is the phase of updates"
        assert {one.round_index for one in entries} == {CONTEXT.round_index}, "a message of another round is booked"
        assert {one.client_id for one in entries} <= set(ASKED), "a message of a client that was not asked is booked"
        sent = {one.client_id for one in entries if one.direction == "up"}
        assert sent >= set(answered), "a client that answered sends nothing"
        for one in entries:
            assert one.encoded_bytes == one.tensor_bytes + one.header_bytes, "a message is its header and its tensors"


def check_account(spec: MechanismSpec) -> None:
    """What it guarantees is a finite epsilon, which more rounds do not lower; or it guarantees nothing."""
    mechanism = spec.build(spec.params())
    if not isinstance(mechanism, Accounting):
        return
    with guarded(f"mechanism {spec.name}"):
        found = [mechanism.account(replace(SAMPLING, rounds=n)) for n in (1, 5)]
    assert all(one is None or isinstance(one, Privacy) for one in found), "account gives a `Privacy`, or None"
    if found[0] is not None and found[1] is not None:
        few, many = found[0], found[1]
        assert 0 <= few.epsilon < math.inf, f"epsilon is {few.epsilon}"
        assert 0 < few.delta < 1, f"delta is {few.delta}"
        assert few.epsilon <= many.epsilon or few.noise_multiplier < many.noise_multiplier, "more rounds cost less"


_CHECKS: tuple[Check, ...] = (
    check_rehearsal,
    check_deterministic,
    check_survives_checkpoint,
    check_arguments_unchanged,
    check_clients_that_do_not_answer,
    check_messages,
    check_account,
)


def mechanism_checks() -> Iterator[Check]:
    """All of them apply to every mechanism."""
    yield from _CHECKS
