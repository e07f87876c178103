"""What every adapter must hold, checked on a small backbone of every kind that it fits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from fedgen_bench.base.guards import guarded
from fedgen_bench.contract.adapting import Adapted, factors_problem
from fedgen_bench.contract.backbones import Ground
from fedgen_bench.contract.data import Tensors
from fedgen_bench.contract.messages import Fit
from fedgen_bench.contract.seeds import SeedTree
from fedgen_bench.contract.specs import AdapterSpec
from fedgen_bench.testing.bits import same_bits
from fedgen_bench.testing.locations import at
from fedgen_bench.testing.structure import built, described, with_defaults

if TYPE_CHECKING:
    import torch
    from torch import nn

Check = Callable[[AdapterSpec, Ground], None]
SEEDS = SeedTree("task", "adapter", "partitioner", "strategy", 11)


def on_kind(spec: AdapterSpec, kind: str) -> AdapterSpec:
    """The adapter with the parameters that it declares for a kind of backbone as its defaults."""
    changed: AdapterSpec = with_defaults(spec, spec.backbones[kind], f"`backbones`, parameters for {kind}")
    return changed


def attach(spec: AdapterSpec, ground: Ground, seeds: SeedTree = SEEDS) -> Adapted:
    """The adapter on a private copy of a small backbone."""
    adapter = spec.build(spec.params())
    with at(adapter.attach):
        adapted: object = adapter.attach(ground.backbone(), seeds)
        assert isinstance(adapted, Adapted), f"attach returned {described(adapted)}. Return an `Adapted`."
        adapted.module.eval()
    return adapted


def _outputs(module: nn.Module, ground: Ground) -> torch.Tensor:
    return ground.outputs(module, ground.inputs())


def train(adapted: Adapted, ground: Ground, n_steps: int = 3) -> Tensors:
    """Tensors after a few steps of the core's training loop."""
    from fedgen_bench.federation.batches import FitStreams
    from fedgen_bench.federation.parameters import dump_tensors
    from fedgen_bench.federation.trainer import TrainingPlan, fit

    plan = TrainingPlan(optimizer="adamw", learning_rate=0.01, batch_size=3, local_steps=n_steps)
    start, task = Fit(dump_tensors(adapted.trainable)), cast("Any", ground)
    return fit(adapted, task, ground.examples(), start, plan, FitStreams(SEEDS, 0, 0), n_steps).tensors


def _dump(adapted: Adapted) -> Tensors:
    from fedgen_bench.federation.parameters import dump_tensors

    return dump_tensors(adapted.trainable)


def check_rehearsal(spec: AdapterSpec, ground: Ground) -> None:
    """It has its method, attaches to a small backbone, and what it gives can be trained for a few steps."""
    adapter = built("adapter", spec)
    with at(adapter.attach):
        adapted = attach(spec, ground)
        if adapted.trainable:
            train(adapted, ground, 1)


def check_deterministic(spec: AdapterSpec, ground: Ground) -> None:
    """The seed tree alone decides the initial values, whatever the global generators hold."""
    import torch

    first = _dump(attach(spec, ground))
    with torch.random.fork_rng():
        torch.manual_seed(123)
        assert same_bits(first, _dump(attach(spec, ground))), "initial values depend on torch's global generator"


def check_paired(spec: AdapterSpec, ground: Ground) -> None:
    """Initial values do not depend on strategy or partitioner: contenders with one adapter start from one point."""
    other = replace(SEEDS, strategy="another", partitioner="another")
    assert same_bits(_dump(attach(spec, ground)), _dump(attach(spec, ground, other))), (
        "initial values depend on the strategy"
    )


def check_global_generators_unmoved(spec: AdapterSpec, ground: Ground) -> None:
    """Attaching moves no global generator."""
    with guarded(f"adapter {spec.name}"):
        attach(spec, ground)


def check_names_plain(spec: AdapterSpec, ground: Ground) -> None:
    """Names are the backbone's own, without a library's prefixes or adapter names."""
    for name in attach(spec, ground).trainable:
        parts = name.split(".")
        assert name, "a trainable tensor without a name"
        stray = {"base_model", "default", "modules_to_save", "prompt_encoder"} & set(parts)
        assert not stray, f"`{name}` carries {stray}"


def check_trainable_belongs_to_module(spec: AdapterSpec, ground: Ground) -> None:
    """`trainable` holds parameters of the module, each once, fp32, and asks for their gradient."""
    import torch

    adapted = attach(spec, ground)
    own = {id(parameter) for parameter in adapted.module.parameters()}
    ids = [id(parameter) for parameter in adapted.trainable.values()]
    assert set(ids) <= own, "a trainable tensor is no parameter of the module"
    assert len(set(ids)) == len(ids), "one parameter has two names"
    assert all(tensor.dtype == torch.float32 and tensor.requires_grad for tensor in adapted.trainable.values())


def check_evaluation_repeatable(spec: AdapterSpec, ground: Ground) -> None:
    """In evaluation mode the adapted backbone is a function: the same input gives the same bits."""
    import torch

    module = attach(spec, ground).module
    with torch.inference_mode():
        assert torch.equal(_outputs(module, ground), _outputs(module, ground)), "evaluation is noisy"


def check_initial_function_unchanged(spec: AdapterSpec, ground: Ground) -> None:
    """Before training the adapted backbone computes what the backbone does."""
    import torch

    with torch.inference_mode():
        plain, adapted = _outputs(ground.backbone(), ground), _outputs(attach(spec, ground).module, ground)
    assert torch.equal(plain, adapted), "attaching the adapter changes the backbone's outputs"


def check_only_trainable_learns(spec: AdapterSpec, ground: Ground) -> None:
    """Training changes every trainable tensor and nothing else, and no other parameter gets a gradient."""
    import torch

    adapted = attach(spec, ground)
    trainable = {id(parameter) for parameter in adapted.trainable.values()}
    asking = {id(parameter) for parameter in adapted.module.parameters() if parameter.requires_grad}
    assert asking == trainable, "what asks for a gradient is not what is trainable"
    others = {
        name: parameter.detach().clone()
        for name, parameter in adapted.module.named_parameters()
        if id(parameter) not in trainable
    }
    if not trainable:
        return
    before, after = _dump(adapted), train(adapted, ground)
    for name, tensor in before.items():
        assert not torch.equal(tensor, after[name]), f"`{name}` is trainable but does not learn"
    for name, parameter in adapted.module.named_parameters():
        if name in others:
            assert parameter.grad is None, f"`{name}` is not trainable but gets a gradient"
            assert torch.equal(parameter, others[name]), f"`{name}` is not trainable but changes"


def check_tensors_are_everything(spec: AdapterSpec, ground: Ground) -> None:
    """Trained tensors in a freshly attached backbone give the trained function: nothing learns outside them."""
    import torch

    from fedgen_bench.federation.parameters import load_tensors

    trained, fresh = attach(spec, ground), attach(spec, ground)
    load_tensors(fresh.trainable, train(trained, ground) if trained.trainable else {})
    with torch.inference_mode():
        ours, theirs = _outputs(trained.module, ground), _outputs(fresh.module, ground)
    assert torch.equal(ours, theirs), "the trained tensors do not carry the trained function"


def check_training_leaves_no_trace(spec: AdapterSpec, ground: Ground) -> None:
    """After training, the initial tensors give the initial function: nothing outside them remembers it."""
    import torch

    from fedgen_bench.federation.parameters import load_tensors

    adapted = attach(spec, ground)
    start = _dump(adapted)
    with torch.inference_mode():
        before = _outputs(adapted.module, ground)
    if start:
        train(adapted, ground)
    load_tensors(adapted.trainable, start)
    with torch.inference_mode():
        assert torch.equal(before, _outputs(adapted.module, ground)), "the module remembers that it was trained"


def check_factors_are_listed(spec: AdapterSpec, ground: Ground) -> None:
    """An adapter that declares `low_rank` lists all that it trains, and nothing else, as LoRA factors."""
    if spec.low_rank:
        problem = factors_problem(attach(spec, ground))
        assert not problem, f"declares `low_rank`, but {problem}"


def check_works_on_a_device(spec: AdapterSpec, ground: Ground) -> None:
    """Trained on a device, it gives what it gives on the processor: all that it brings goes where the module goes."""
    from fedgen_bench.testing.pretended import plain_attention, pretended

    with plain_attention():
        here = attach(spec, ground)
        if not here.trainable:
            return
        ours = train(here, ground)
        with pretended(double=False) as device:
            there = attach(spec, ground)
            there.module.to(device.device)
            theirs = train(there, ground)
    assert same_bits(ours, theirs), "what is trained on a device is something else"


_CHECKS: tuple[Check, ...] = (
    check_rehearsal,
    check_deterministic,
    check_paired,
    check_global_generators_unmoved,
    check_names_plain,
    check_trainable_belongs_to_module,
    check_evaluation_repeatable,
    check_initial_function_unchanged,
    check_only_trainable_learns,
    check_tensors_are_everything,
    check_training_leaves_no_trace,
    check_factors_are_listed,
    check_works_on_a_device,
)


def adapter_checks() -> Iterator[Check]:
    """All of them apply to every adapter, on every kind of backbone that it fits."""
    yield from _CHECKS
