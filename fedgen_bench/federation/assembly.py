"""From a cell's spec to its `Experiment`: components built, task loaded, data split, adapter attached."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from fedgen_bench.base.allocator import keep_freed_memory
from fedgen_bench.base.determinism import settle
from fedgen_bench.base.errors import PluginError
from fedgen_bench.base.killpoints import passing
from fedgen_bench.base.spans import span
from fedgen_bench.contract.copies import lazily_copied
from fedgen_bench.contract.protocols import Absorbing
from fedgen_bench.federation.attaching import attach, with_ranks
from fedgen_bench.federation.components import build
from fedgen_bench.federation.compression import Chain, Uplink
from fedgen_bench.federation.evaluation import Evaluator
from fedgen_bench.federation.experiment import Experiment
from fedgen_bench.federation.link import Link
from fedgen_bench.federation.loader import Loader
from fedgen_bench.federation.release import Release
from fedgen_bench.federation.seeding import seed_tree
from fedgen_bench.federation.trainer import plan_of
from fedgen_bench.registry.datasets import finder
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.suite.mechanisms import sampling_of
from fedgen_bench.suite.schema import Component

if TYPE_CHECKING:
    from fedgen_bench.contract.protocols import Strategy
    from fedgen_bench.contract.seeds import SeedTree
    from fedgen_bench.federation.blueprint import Blueprint
    from fedgen_bench.federation.client_work import ClientWork
    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.suite.cellconfig import CellConfig, ResolvedAttack
    from fedgen_bench.suite.cells import CellSpec


def assemble(spec: CellSpec, loader: Loader, device: torch.device) -> Experiment:
    """The cell's experiment, its backbone on `device`.

    Raises:
        DataError: data or backbone are not there.
        PluginError: components that cannot be built, or do not fit together.
    """
    keep_freed_memory()
    settle(device.type)
    spec, registry = loader.resolved(spec), loader.registry
    config, contender, evaluation = spec.config, spec.config.contender, spec.config.evaluation
    loader.task(spec)
    passing("cell.loaded")
    population = loader.population(spec)
    passing("cell.partitioned")
    task = population.task
    strategy_spec = registry.get("strategy", contender.strategy.name).spec
    fleet = loader.fleet(spec)
    with span("attach", contender.adapter.name):
        adapted = with_ranks(attach(registry, contender.adapter, task, seed_tree(spec)), fleet)
        adapted.module.to(device).eval()
    initial = {name: parameter.detach() for name, parameter in adapted.trainable.items()}
    uplink, downlink = (
        Chain(tuple(build(registry, "compressor", one) for one in chain))
        for chain in (contender.uplink, contender.downlink)
    )
    attack = config.attack if strategy_spec.cohort == "sampled" else None
    strategy = build(registry, "strategy", contender.strategy)
    return Experiment(
        spec=spec,
        strategy=strategy,
        cohort_kind=strategy_spec.cohort,
        max_fits=strategy_spec.fits_per_round,
        task=task,
        adapted=adapted,
        plan=plan_of(config),
        population=population,
        evaluator=Evaluator(
            spec=spec,
            task=task,
            adapted=adapted,
            device=device,
            metrics={name: build(registry, "metric", Component(name=name)) for name in evaluation.metrics},
            lower_is_better=registry.get("metric", evaluation.own).spec.lower_is_better,
        ),
        start={name: lazily_copied(value) if value.is_cpu else value.cpu() for name, value in initial.items()},
        link=Link(downlink=downlink, uplink=Uplink(uplink), max_update_norm=config.federation.max_update_norm),
        attack=None if attack is None else build(registry, "attack", attack),
        attackers=_attackers(attack, len(population.parts), seed_tree(spec)),
        fleet=fleet,
        partial_work=strategy_spec.partial_work,
        release=_release(config, registry, strategy),
    )


def _release(config: CellConfig, registry: Registry, strategy: Strategy) -> Release | None:
    mechanism = config.contender.mechanism
    if mechanism is None:
        return None
    if config.devices is not None and isinstance(strategy, Absorbing):
        raise PluginError(
            f"Strategy `{config.contender.strategy.name}` takes updates one by one as they arrive, and mechanism "
            f"`{mechanism.name}` lets none of them through alone. Leave one of them out, or [devices]."
        )
    built, spec = build(registry, "mechanism", mechanism), registry.get("mechanism", mechanism.name).spec
    return Release(built, sampling_of(config.federation), carries=spec.carries)


def _attackers(attack: ResolvedAttack | None, n_clients: int, seeds: SeedTree) -> frozenset[int]:
    """The hostile clients of a seed: the same for every contender."""
    if attack is None:
        return frozenset()
    drawn = seeds.numpy("split", purpose="attackers").permutation(n_clients)
    return frozenset(drawn[: round(attack.fraction * n_clients)].tolist())


def open_loader(blueprint: Blueprint) -> Loader:
    """What the cells of one worker process share: plugins, and tasks and splits as they are asked for."""
    registry = load_registry(blueprint.plugin_files)
    return Loader(registry, finder(registry, blueprint.data))


def open_work(blueprint: Blueprint, loader: Loader | None = None) -> ClientWork:
    """For engines: build a cell's `ClientWork` in another process.

    Raises:
        DataError: data or backbone are not there.
    """
    loader = open_loader(blueprint) if loader is None else loader
    torch.set_num_threads(blueprint.threads)
    return assemble(blueprint.spec, loader, torch.device(blueprint.device)).work(blueprint)
