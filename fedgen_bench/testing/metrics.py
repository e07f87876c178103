"""What every metric that reads a task's evidence must hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.guards import guarded
from fedgen_bench.contract.specs import MetricSpec
from fedgen_bench.testing.locations import at
from fedgen_bench.testing.structure import built
from fedgen_bench.testing.tasks import SEEDS

if TYPE_CHECKING:
    from fedgen_bench.contract.protocols import Task


def evidence(task: Task, split: str, *, spoilt: bool = False) -> Mapping[str, Any]:
    """Evidence of the backbone on a split, or of one that noise has spoilt."""
    import torch

    module = task.new_module()
    with torch.inference_mode():
        if spoilt:
            noise = torch.Generator().manual_seed(0)
            for parameter in module.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=noise))
        return task.observe(module, task.split(split), SEEDS)


def check_rehearsal(spec: MetricSpec) -> None:
    """It can be built and has its method."""
    built("metric", spec)


def check_metric(spec: MetricSpec, task: Task) -> None:
    """The metric is finite, the same every time, and better for the backbone than for a spoilt one.

    Of a metric with parts each is finite, both models have the same ones, and their mean is better.

    Raises KeyError when the task does not provide what the metric needs, neither on the validation subset nor on the
    whole validation part.
    """
    metric: Any = spec.build(spec.params())
    with at(metric.compute), guarded(f"{type(metric).__name__}.compute"):
        _check_metric(spec, metric, task)


class _Read(dict[str, Any]):
    """Evidence that remembers what of it was asked for."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        super().__init__(given)
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.names.add(name)
        return super().__getitem__(name)


def _check_metric(spec: MetricSpec, metric: Any, task: Task) -> None:
    split, given = "valid_subset", _Read(evidence(task, "valid_subset"))
    try:
        computed = metric.compute(given)
    except KeyError:
        split, given = "valid", _Read(evidence(task, "valid"))
        computed = metric.compute(given)
    undeclared = ", ".join(sorted(given.names - spec.evidence)) if spec.evidence else ""
    assert not undeclared, f"it reads what `MetricSpec.evidence` does not name: {undeclared}"
    good, bad = _by_part(computed), _by_part(metric.compute(evidence(task, split, spoilt=True)))
    assert good, "the metric has no part"
    assert good.keys() == bad.keys(), "the parts depend on the model"
    assert all(math.isfinite(value) for value in (*good.values(), *bad.values())), f"not finite: {good}, {bad}"
    assert good == _by_part(metric.compute(evidence(task, split))), "two equal evaluations differ"
    ours, spoilt = (sum(values.values()) / len(values) for values in (good, bad))
    assert (ours < spoilt) is spec.lower_is_better, f"direction: {ours} for the backbone, {spoilt} for a spoilt one"


def _by_part(value: float | Mapping[str, float]) -> Mapping[str, float]:
    return value if isinstance(value, Mapping) else {"": value}
