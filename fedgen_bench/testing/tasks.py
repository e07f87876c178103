"""What every task must hold, and every metric that reads a task's evidence."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from fedgen_bench.records import MetricSpec
from fedgen_bench.seeds import SeedTree, guarded_globals
from fedgen_bench.testing.simulation import fingerprint

if TYPE_CHECKING:
    import torch

    from fedgen_bench.protocols import Task

Check = Callable[["Task"], None]
SEEDS = SeedTree("task", "adapter", "partitioner", "strategy", 11)
SPLITS = ("valid_subset", "valid", "test")


def check_units(task: Task) -> None:
    """There are units, each column has one integer code a unit, and they are the same every time."""
    import numpy as np

    units = task.units(SEEDS)
    assert units.n_units > 0
    for name, codes in units.columns.items():
        assert codes.shape == (units.n_units,), f"column {name}: {codes.shape}"
        assert np.issubdtype(codes.dtype, np.integer), f"column {name} does not hold integers"
        assert np.array_equal(codes, task.units(SEEDS).columns[name]), f"column {name} differs the second time"


def check_client_data(task: Task) -> None:
    """The same units give the same examples; `n` is the first dimension of every tensor; no units give no examples."""
    import numpy as np

    units = np.arange(min(10, task.units(SEEDS).n_units))
    with guarded_globals("client_data"):
        first = task.client_data(units)
    assert fingerprint(first) == fingerprint(task.client_data(units)), "two equal calls differ"
    assert first.train.n > 0
    assert all(len(tensor) == first.train.n for tensor in first.train.tensors.values()), "n is not the first dimension"
    empty = task.client_data(units[:0])
    assert empty.train.n == 0
    assert empty.heldout is None, "a client without units has something held out"
    assert empty.train.tensors.keys() == first.train.tensors.keys(), "batch keys depend on the client"


def check_new_module(task: Task) -> None:
    """Every module is a private copy in evaluation mode on the CPU, of the stated size."""
    import torch

    first = task.new_module()
    values = [parameter.detach().clone() for parameter in first.parameters()]
    assert sum(value.numel() for value in values) == task.backbone_parameters
    assert not first.training
    assert all(parameter.device.type == "cpu" for parameter in first.parameters())
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.add_(1.0)
    second = [parameter.detach() for parameter in task.new_module().parameters()]
    assert all(torch.equal(a, b) for a, b in zip(values, second, strict=True)), "two modules share memory"


def _batch(task: Task) -> dict[str, torch.Tensor]:
    import numpy as np

    train = task.client_data(np.arange(min(10, task.units(SEEDS).n_units))).train
    return {name: tensor[: min(4, train.n)] for name, tensor in train.tensors.items()}


def check_loss(task: Task) -> None:
    """The loss is a finite scalar with a gradient, and the generator alone decides its noise."""
    import torch

    module, batch = task.new_module(), _batch(task)
    before = fingerprint(batch)
    with guarded_globals("loss"):
        losses = [task.loss(module, batch, torch.Generator().manual_seed(3)) for _ in range(2)]
    assert losses[0].shape == ()
    assert math.isfinite(float(losses[0].detach()))
    assert torch.equal(losses[0], losses[1]), "two equal calls differ"
    losses[0].backward()
    assert any(parameter.grad is not None for parameter in module.parameters()), "nothing gets a gradient"
    assert fingerprint(batch) == before, "the batch was changed"


def check_observe(task: Task) -> None:
    """Evaluation gives the same finite evidence twice, also on a held-out tail, and leaves the module alone."""
    import numpy as np
    import torch

    module = task.new_module()
    before = fingerprint([parameter.detach() for parameter in module.parameters()])
    heldout = task.client_data(np.arange(min(30, task.units(SEEDS).n_units))).heldout
    with torch.inference_mode(), guarded_globals("observe"):
        for data in (task.split("valid_subset"), *([] if heldout is None else [heldout])):
            first = task.observe(module, data, SEEDS)
            assert first, "no evidence"
            assert dict(first) == dict(task.observe(module, data, SEEDS)), "two equal evaluations differ"
            assert all(math.isfinite(value) for value in first.values()), f"evidence is not finite: {first}"
    assert fingerprint([parameter.detach() for parameter in module.parameters()]) == before


def check_splits(task: Task) -> None:
    """All splits exist and are the same every time; provenance names what was read."""
    for name in SPLITS:
        assert fingerprint(task.split(name)) == fingerprint(task.split(name))
    assert task.provenance
    assert all(isinstance(key, str) and isinstance(value, str) for key, value in task.provenance.items())


_CHECKS: tuple[Check, ...] = (check_units, check_client_data, check_new_module, check_loss, check_observe, check_splits)


def task_checks() -> Iterator[Check]:
    """All of them apply to every task."""
    yield from _CHECKS


def evidence(task: Task, *, spoilt: bool = False) -> Mapping[str, float]:
    """Evidence of the backbone, or of one that noise has spoilt."""
    import torch

    module = task.new_module()
    with torch.inference_mode():
        if spoilt:
            noise = torch.Generator().manual_seed(0)
            for parameter in module.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=noise))
        return task.observe(module, task.split("valid_subset"), SEEDS)


def check_metric(spec: MetricSpec, task: Task) -> None:
    """The metric is a finite number, the same every time, and better for the backbone than for a spoilt one.

    Raises KeyError when the task does not provide what the metric needs.
    """
    metric: Any = spec.build(spec.params())
    good, bad = (metric.compute(evidence(task, spoilt=spoilt)) for spoilt in (False, True))
    assert math.isfinite(good)
    assert math.isfinite(bad)
    assert good == metric.compute(evidence(task)), "two equal evaluations differ"
    assert (good < bad) is spec.lower_is_better, f"direction: {good} for the backbone, {bad} for a spoilt one"
