"""What every attack must hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from fedgen_bench.base.guards import guarded
from fedgen_bench.contract.data import Tensors
from fedgen_bench.contract.specs import AttackSpec
from fedgen_bench.testing.bits import fingerprint, same_bits
from fedgen_bench.testing.compressors import change
from fedgen_bench.testing.locations import at, return_of
from fedgen_bench.testing.structure import assert_tensors, built

if TYPE_CHECKING:
    import torch

Check = Callable[[AttackSpec], None]


def received() -> dict[str, torch.Tensor]:
    """What the server sent: the names and layout of `update`, and one name more."""
    return {**change(), "more": change(3)["one"]}


def update() -> dict[str, torch.Tensor]:
    """What an honest client would answer."""
    return change(2)


def _distorted(spec: AttackSpec, seed: int = 1) -> Tensors:
    import torch

    distorted: Tensors = spec.build(spec.params()).distort(update(), received(), torch.Generator().manual_seed(seed))
    return distorted


def check_rehearsal(spec: AttackSpec) -> None:
    """It has its method, which gives tensors by name."""
    import torch

    attack = built("attack", spec)
    with at(attack.distort), guarded(f"{type(attack).__name__}.distort"):
        sent = attack.distort(update(), received(), torch.Generator().manual_seed(1))
        assert_tensors(sent, "distort", partial(return_of, attack.distort))


def check_deterministic(spec: AttackSpec) -> None:
    """The generator alone decides what is sent; no global generator moves."""
    with guarded(f"attack {spec.name}"):
        first = _distorted(spec)
    assert same_bits(first, _distorted(spec)), "two equal calls differ"


def check_no_hidden_state(spec: AttackSpec) -> None:
    """The same instance gives the same bits again."""
    import torch

    attack = spec.build(spec.params())
    first, second = (attack.distort(update(), received(), torch.Generator().manual_seed(1)) for _ in range(2))
    assert same_bits(first, second), "a second call of one instance differs"


def check_same_layout(spec: AttackSpec) -> None:
    """Names, shapes and dtypes are the honest update's: the gate would refuse any other, and then nothing is tested."""
    sent, honest = _distorted(spec), update()
    assert sent.keys() == honest.keys(), f"names differ: {sorted(sent.keys() ^ honest.keys())}"
    for name, tensor in honest.items():
        assert (sent[name].dtype, sent[name].shape) == (tensor.dtype, tensor.shape), f"`{name}` changes its layout"


def check_arguments_unchanged(spec: AttackSpec) -> None:
    """Update and received tensors stay as they are."""
    import torch

    tensors, base = update(), received()
    before = fingerprint([tensors, base])
    spec.build(spec.params()).distort(tensors, base, torch.Generator().manual_seed(1))
    assert fingerprint([tensors, base]) == before, "its arguments were changed"


def check_changes_the_update(spec: AttackSpec) -> None:
    """Something else than the honest update is sent."""
    assert not same_bits(_distorted(spec), update()), "the honest update is sent"


_CHECKS: tuple[Check, ...] = (
    check_rehearsal,
    check_deterministic,
    check_no_hidden_state,
    check_same_layout,
    check_arguments_unchanged,
    check_changes_the_update,
)


def attack_checks() -> Iterator[Check]:
    """All of them apply to every attack."""
    yield from _CHECKS
