"""What every adapter must hold, checked on the small generated language model."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from fedgen_bench.records import AdapterSpec, Examples, Fit, Tensors
from fedgen_bench.seeds import SeedTree, guarded_globals
from fedgen_bench.testing.simulation import same_bits

if TYPE_CHECKING:
    import torch
    from torch import nn

    from fedgen_bench.adapting import Adapted

Check = Callable[[AdapterSpec], None]
SEEDS = SeedTree("task", "adapter", "partitioner", "strategy", 11)
_N_TOKENS = 24


@lru_cache(maxsize=1)
def _backbone() -> nn.Module:
    from fedgen_bench.backbones.loading import load_backbone

    return load_backbone("tiny-wire-lm").module


def backbone() -> nn.Module:
    """A private copy of the small generated language model."""
    return copy.deepcopy(_backbone())


def attach(spec: AdapterSpec, seeds: SeedTree = SEEDS) -> Adapted:
    """The adapter with default parameters on a private copy of the backbone."""
    adapted: Adapted = spec.build(spec.params()).attach(backbone(), seeds)
    adapted.module.eval()
    return adapted


class _NextToken:
    """Just enough of a task for the trainer."""

    def loss(self, module: nn.Module, batch: Tensors, generator: torch.Generator) -> torch.Tensor:
        from torch.nn.functional import cross_entropy

        inputs, targets = batch["tokens"][:, :-1], batch["tokens"][:, 1:]
        return cross_entropy(logits_of(module, inputs).flatten(0, 1), targets.flatten())


def tokens(n: int = 6) -> torch.Tensor:
    """Token ids of shape (n, 24), always the same."""
    import torch

    return torch.randint(0, 60, (n, _N_TOKENS), generator=torch.Generator().manual_seed(4))


def logits_of(module: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """Logits of the input positions, shape (n, length, vocabulary)."""
    logits: torch.Tensor = module(input_ids=inputs).logits[:, -inputs.shape[1] :]
    return logits


def train(adapted: Adapted, n_steps: int = 3) -> Tensors:
    """Tensors after a few steps of the core's training loop."""
    from fedgen_bench.trainer import Place, TrainingPlan, dump_tensors, fit

    plan = TrainingPlan("adamw", 0.01, 0.0, 3, n_steps, None, None, "fp32")
    task: Any = _NextToken()
    data = Examples({"tokens": tokens()}, 6)
    return fit(adapted, task, data, Fit(dump_tensors(adapted.trainable)), plan, Place(SEEDS, 0, 0), n_steps).tensors


def _dump(adapted: Adapted) -> Tensors:
    from fedgen_bench.trainer import dump_tensors

    return dump_tensors(adapted.trainable)


def check_deterministic(spec: AdapterSpec) -> None:
    """The seed tree alone decides the initial values, whatever the global generators hold."""
    import torch

    first = _dump(attach(spec))
    with torch.random.fork_rng():
        torch.manual_seed(123)
        assert same_bits(first, _dump(attach(spec))), "initial values depend on torch's global generator"


def check_paired(spec: AdapterSpec) -> None:
    """Initial values do not depend on strategy or partitioner: contenders with one adapter start from one point."""
    other = replace(SEEDS, strategy="another", partitioner="another")
    assert same_bits(_dump(attach(spec)), _dump(attach(spec, other))), "initial values depend on the strategy"


def check_global_generators_unmoved(spec: AdapterSpec) -> None:
    """Attaching moves no global generator."""
    with guarded_globals(f"adapter {spec.name}"):
        attach(spec)


def check_names_plain(spec: AdapterSpec) -> None:
    """Names are the backbone's own, without a library's prefixes or adapter names."""
    for name in attach(spec).trainable:
        parts = name.split(".")
        assert name, "a trainable tensor without a name"
        stray = {"base_model", "default", "modules_to_save", "prompt_encoder"} & set(parts)
        assert not stray, f"`{name}` carries {stray}"


def check_trainable_belongs_to_module(spec: AdapterSpec) -> None:
    """`trainable` holds parameters of the module, each once, fp32, and asks for their gradient."""
    import torch

    adapted = attach(spec)
    own = {id(parameter) for parameter in adapted.module.parameters()}
    ids = [id(parameter) for parameter in adapted.trainable.values()]
    assert set(ids) <= own, "a trainable tensor is no parameter of the module"
    assert len(set(ids)) == len(ids), "one parameter has two names"
    assert all(one.dtype == torch.float32 and one.requires_grad for one in adapted.trainable.values())


def check_evaluation_repeatable(spec: AdapterSpec) -> None:
    """In evaluation mode the adapted backbone is a function: the same input gives the same bits."""
    import torch

    module = attach(spec).module
    with torch.inference_mode():
        assert torch.equal(logits_of(module, tokens()), logits_of(module, tokens())), "evaluation is noisy"


def check_initial_function_unchanged(spec: AdapterSpec) -> None:
    """Before training the adapted backbone computes what the backbone does."""
    import torch

    with torch.inference_mode():
        plain, adapted = logits_of(backbone(), tokens()), logits_of(attach(spec).module, tokens())
    assert torch.equal(plain, adapted), "attaching the adapter changes the backbone's outputs"


def check_only_trainable_learns(spec: AdapterSpec) -> None:
    """Training changes every trainable tensor and nothing else, and no other parameter gets a gradient."""
    import torch

    adapted = attach(spec)
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
    before, after = _dump(adapted), train(adapted)
    for name, tensor in before.items():
        assert not torch.equal(tensor, after[name]), f"`{name}` is trainable but does not learn"
    for name, parameter in adapted.module.named_parameters():
        if name in others:
            assert parameter.grad is None, f"`{name}` is not trainable but gets a gradient"
            assert torch.equal(parameter, others[name]), f"`{name}` is not trainable but changes"


def check_tensors_are_everything(spec: AdapterSpec) -> None:
    """Trained tensors in a freshly attached backbone give the trained function: nothing learns outside them."""
    import torch

    from fedgen_bench.trainer import load_tensors

    trained, fresh = attach(spec), attach(spec)
    load_tensors(fresh.trainable, train(trained) if trained.trainable else {})
    with torch.inference_mode():
        ours, theirs = logits_of(trained.module, tokens()), logits_of(fresh.module, tokens())
    assert torch.equal(ours, theirs), "the trained tensors do not carry the trained function"


_CHECKS: tuple[Check, ...] = (
    check_deterministic, check_paired, check_global_generators_unmoved, check_names_plain,
    check_trainable_belongs_to_module, check_evaluation_repeatable, check_initial_function_unchanged,
    check_only_trainable_learns, check_tensors_are_everything,
)  # fmt: skip


def adapter_checks() -> Iterator[Check]:
    """All of them apply to every adapter."""
    yield from _CHECKS
