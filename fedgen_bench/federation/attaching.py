"""A cell's adapter on a private copy of its backbone; what does not fit together is told in one sentence."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fedgen_bench.base.errors import DataError, PluginError
from fedgen_bench.base.guards import guarded
from fedgen_bench.contract.adapting import factors_problem
from fedgen_bench.contract.storage import train_in_fp32
from fedgen_bench.federation.components import build

if TYPE_CHECKING:
    from fedgen_bench.contract.adapting import Adapted
    from fedgen_bench.contract.protocols import Task
    from fedgen_bench.contract.seeds import SeedTree
    from fedgen_bench.federation.fleet import Fleet
    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.suite.schema import Component


def attach(registry: Registry, component: Component, task: Task, seeds: SeedTree) -> Adapted:
    """The adapter that `component` names, attached to the task's backbone, on the CPU.

    Raises:
        PluginError: the adapter cannot be had on this backbone, or is not of LoRA factors although it says so.
        DataError: the adapter takes positions that the task's longest text leaves no room for.
    """
    name = component.name
    adapter = build(registry, "adapter", component)
    with guarded(f"{type(task).__name__}.new_module"):
        module = task.new_module()
    with guarded(f"{type(adapter).__name__}.attach"):
        try:
            adapted: Adapted = adapter.attach(module, seeds)
        except ValueError as error:
            raise PluginError(f"Adapter `{name}` does not fit this backbone: {error}") from error
    _check_trained(name, adapted)
    train_in_fp32(adapted.module, adapted.trainable.values())
    if registry.get("adapter", name).spec.low_rank and (problem := factors_problem(adapted)):
        raise PluginError(
            f"Adapter `{name}` declares `low_rank`, but {problem}. Train exactly the factors of linear layers, or do "
            "not declare it."
        )
    free = getattr(task, "free_positions", None)
    if free is not None and adapted.positions > free:
        raise DataError(
            f"Adapter `{name}` takes {adapted.positions} positions of the backbone before the text, and the task's "
            f"longest text leaves {free}. Give the adapter fewer tokens, or lower the task's block_tokens and "
            "context_tokens."
        )
    return adapted


def with_ranks(adapted: Adapted, fleet: Fleet | None) -> Adapted:
    """With the ranks of clients' devices, where the adapter mixes ranks and the devices have some.

    Raises:
        PluginError: a device has a higher rank than the adapter's highest.
    """
    if fleet is None or not adapted.client_ranks:
        return adapted
    ranks = [device.rank for device in fleet.devices if device.rank is not None]
    if not ranks:
        return adapted
    most = max(adapted.client_ranks)
    if max(ranks) > most:
        raise PluginError(
            f"A class of devices has rank {max(ranks)}, the adapter's highest is {most}. Lower `devices.ranks`, or "
            "give the adapter a higher one."
        )
    return replace(adapted, client_ranks=tuple(ranks[place] for place in fleet.of_client.tolist()))


def _check_trained(name: str, adapted: Adapted) -> None:
    """Raises PluginError when the adapter trains what the backbone stores in integers."""
    for path, parameter in adapted.trainable.items():
        if not parameter.is_floating_point():
            raise PluginError(
                f"Adapter `{name}` trains `{path}`, which the backbone stores quantised: it has no gradient. Leave "
                "`quantization` out, or choose an adapter that leaves the backbone frozen, such as `lora`."
            )
