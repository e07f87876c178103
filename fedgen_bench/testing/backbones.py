"""What every backbone must hold, and the small ones that adapters are checked on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING
from unittest import SkipTest

from fedgen_bench.base.guards import guarded
from fedgen_bench.contract.backbones import BackboneSpec, Ground
from fedgen_bench.testing.bits import fingerprint
from fedgen_bench.testing.locations import Broken
from fedgen_bench.testing.structure import described

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Registry

Check = Callable[[BackboneSpec], None]


def ground_of(registry: Registry, kind: str) -> Ground:
    """The small backbone of a kind: of those registered, the first that has one. Raises Broken when none has."""
    grounds: dict[str, Ground] = {}
    for registered in registry.components["backbone"].values():
        if registered.spec.ground is not None:
            grounds.setdefault(registered.spec.kind, registered.spec.ground)
    if kind not in grounds:
        raise Broken(f"`backbones` names `{kind}`; there are {', '.join(sorted(grounds))}.")
    return grounds[kind]


def check_rehearsal(spec: BackboneSpec) -> None:
    """Its folder is there once it was asked for, and so is its recipe.

    Raises:
        SkipTest: it is made from data sets, which need not be at hand.
    """
    if spec.made_from:
        raise SkipTest(f"it is made from {', '.join(spec.made_from)}")
    with guarded(f"backbone {spec.name}.folder"):
        folder = spec.folder()
    assert folder.is_dir(), f"`folder` gave {folder}, which is no folder"
    assert spec.recipe is None or spec.recipe.is_file(), f"there is no recipe {spec.recipe}"


def check_ground(spec: BackboneSpec) -> None:
    """The small backbone is the same every time, in evaluation mode, and can be trained on its batch."""
    import torch

    ground = _ground(spec)
    with guarded(f"backbone {spec.name}.ground"):
        first, second = ground.backbone(), ground.backbone()
        batch = ground.inputs()
    assert isinstance(first, torch.nn.Module), f"`ground.load` returned {described(first)}. Return a torch module."
    assert not first.training, "`ground.load` gives a module in training mode"
    assert fingerprint(list(first.parameters())) == fingerprint(list(second.parameters())), "two copies differ"
    assert fingerprint(batch) == fingerprint(ground.inputs()), "two batches differ"
    with torch.inference_mode():
        assert torch.equal(ground.outputs(first, batch), ground.outputs(second, batch)), "two equal calls differ"
    first.requires_grad_(requires_grad=True)
    loss = ground.loss(first, batch, torch.Generator().manual_seed(3))
    assert math.isfinite(float(loss.detach())), "the loss is not finite"
    loss.backward()
    assert any(one.grad is not None for one in first.parameters()), "nothing gets a gradient"


def _ground(spec: BackboneSpec) -> Ground:
    assert spec.ground is not None
    return spec.ground


def backbone_checks(spec: BackboneSpec) -> Iterator[Check]:
    """Those that apply to this backbone."""
    yield check_rehearsal
    if spec.ground is not None:
        yield check_ground
