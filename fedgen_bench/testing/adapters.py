"""What every adapter must hold, checked on a small backbone of every kind that it fits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from fedgen_bench.base.guards import guarded
from fedgen_bench.contract.adapting import Adapted, factors_problem
from fedgen_bench.contract.data import Tensors
from fedgen_bench.contract.messages import Fit
from fedgen_bench.contract.params import make_params
from fedgen_bench.contract.seeds import SeedTree
from fedgen_bench.contract.specs import AdapterSpec
from fedgen_bench.testing.grounds import GROUNDS, Ground
from fedgen_bench.testing.places import Broken, at
from fedgen_bench.testing.simulation import same_bits
from fedgen_bench.testing.structure import built, described

if TYPE_CHECKING:
    import torch
    from torch import nn

Check = Callable[[AdapterSpec, str], None]
SEEDS = SeedTree("task", "adapter", "partitioner", "strategy", 11)


def attach(spec: AdapterSpec, kind: str, seeds: SeedTree = SEEDS) -> Adapted:
    """The adapter on a private copy of the small backbone of a kind, with the parameters that it declares for it."""
    params, problems = make_params(spec.params, spec.backbones[kind])
    if problems:
        raise Broken(f"`backbones`, parameters for {kind}: {' '.join(sentence for _, sentence in problems)}")
    adapter = spec.build(params)
    with at(adapter.attach):
        adapted: object = adapter.attach(_ground(kind).backbone(), seeds)
        assert isinstance(adapted, Adapted), f"attach returned {described(adapted)}. Return an `Adapted`."
        adapted.module.eval()
    return adapted


def _ground(kind: str) -> Ground:
    if kind not in GROUNDS:
        raise Broken(f"`backbones` names `{kind}`; there are {', '.join(GROUNDS)}.")
    return GROUNDS[kind]


def _outputs(module: nn.Module, kind: str) -> torch.Tensor:
    ground = _ground(kind)
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


def check_rehearsal(spec: AdapterSpec, kind: str) -> None:
    """It has its method, attaches to a small backbone, and what it gives can be trained for a few steps."""
    ground = _ground(kind)
    adapter = built("adapter", spec)
    with at(adapter.attach):
        adapted = attach(spec, kind)
        if adapted.trainable:
            train(adapted, ground, 1)


def check_deterministic(spec: AdapterSpec, kind: str) -> None:
    """The seed tree alone decides the initial values, whatever the global generators hold."""
    import torch

    first = _dump(attach(spec, kind))
    with torch.random.fork_rng():
        torch.manual_seed(123)
        assert same_bits(first, _dump(attach(spec, kind))), "initial values depend on torch's global generator"


def check_paired(spec: AdapterSpec, kind: str) -> None:
    """Initial values do not depend on strategy or partitioner: contenders with one adapter start from one point."""
    other = replace(SEEDS, strategy="another", partitioner="another")
    assert same_bits(_dump(attach(spec, kind)), _dump(attach(spec, kind, other))), (
        "initial values depend on the strategy"
    )


def check_global_generators_unmoved(spec: AdapterSpec, kind: str) -> None:
    """Attaching moves no global generator."""
    with guarded(f"adapter {spec.name}"):
        attach(spec, kind)


def check_names_plain(spec: AdapterSpec, kind: str) -> None:
    """Names are the backbone's own, without a library's prefixes or adapter names."""
    for name in attach(spec, kind).trainable:
        parts = name.split(".")
        assert name, "a trainable tensor without a name"
        stray = {"base_model", "default", "modules_to_save", "prompt_encoder"} & set(parts)
        assert not stray, f"`{name}` carries {stray}"


def check_trainable_belongs_to_module(spec: AdapterSpec, kind: str) -> None:
    """`trainable` holds parameters of the module, each once, fp32, and asks for their gradient."""
    import torch

    adapted = attach(spec, kind)
    own = {id(parameter) for parameter in adapted.module.parameters()}
    ids = [id(parameter) for parameter in adapted.trainable.values()]
    assert set(ids) <= own, "a trainable tensor is no parameter of the module"
    assert len(set(ids)) == len(ids), "one parameter has two names"
    assert all(one.dtype == torch.float32 and one.requires_grad for one in adapted.trainable.values())


def check_evaluation_repeatable(spec: AdapterSpec, kind: str) -> None:
    """In evaluation mode the adapted backbone is a function: the same input gives the same bits."""
    import torch

    module = attach(spec, kind).module
    with torch.inference_mode():
        assert torch.equal(_outputs(module, kind), _outputs(module, kind)), "evaluation is noisy"


def check_initial_function_unchanged(spec: AdapterSpec, kind: str) -> None:
    """Before training the adapted backbone computes what the backbone does."""
    import torch

    with torch.inference_mode():
        plain, adapted = _outputs(_ground(kind).backbone(), kind), _outputs(attach(spec, kind).module, kind)
    assert torch.equal(plain, adapted), "attaching the adapter changes the backbone's outputs"


def check_only_trainable_learns(spec: AdapterSpec, kind: str) -> None:
    """Training changes every trainable tensor and nothing else, and no other parameter gets a gradient."""
    import torch

    adapted = attach(spec, kind)
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
    before, after = _dump(adapted), train(adapted, _ground(kind))
    for name, tensor in before.items():
        assert not torch.equal(tensor, after[name]), f"`{name}` is trainable but does not learn"
    for name, parameter in adapted.module.named_parameters():
        if name in others:
            assert parameter.grad is None, f"`{name}` is not trainable but gets a gradient"
            assert torch.equal(parameter, others[name]), f"`{name}` is not trainable but changes"


def check_tensors_are_everything(spec: AdapterSpec, kind: str) -> None:
    """Trained tensors in a freshly attached backbone give the trained function: nothing learns outside them."""
    import torch

    from fedgen_bench.federation.parameters import load_tensors

    trained, fresh = attach(spec, kind), attach(spec, kind)
    load_tensors(fresh.trainable, train(trained, _ground(kind)) if trained.trainable else {})
    with torch.inference_mode():
        ours, theirs = _outputs(trained.module, kind), _outputs(fresh.module, kind)
    assert torch.equal(ours, theirs), "the trained tensors do not carry the trained function"


def check_training_leaves_no_trace(spec: AdapterSpec, kind: str) -> None:
    """After training, the initial tensors give the initial function: nothing outside them remembers it."""
    import torch

    from fedgen_bench.federation.parameters import load_tensors

    adapted = attach(spec, kind)
    start = _dump(adapted)
    with torch.inference_mode():
        before = _outputs(adapted.module, kind)
    if start:
        train(adapted, _ground(kind))
    load_tensors(adapted.trainable, start)
    with torch.inference_mode():
        assert torch.equal(before, _outputs(adapted.module, kind)), "the module remembers that it was trained"


def check_factors_are_listed(spec: AdapterSpec, kind: str) -> None:
    """An adapter that declares `low_rank` lists all that it trains, and nothing else, as LoRA factors."""
    if spec.low_rank:
        problem = factors_problem(attach(spec, kind))
        assert not problem, f"declares `low_rank`, but {problem}"


_CHECKS: tuple[Check, ...] = (
    check_rehearsal, check_deterministic, check_paired, check_global_generators_unmoved, check_names_plain,
    check_trainable_belongs_to_module, check_evaluation_repeatable, check_initial_function_unchanged,
    check_only_trainable_learns, check_tensors_are_everything, check_training_leaves_no_trace,
    check_factors_are_listed,
)  # fmt: skip


def adapter_checks() -> Iterator[Check]:
    """All of them apply to every adapter, on every kind of backbone that it fits."""
    yield from _CHECKS
