"""A cell's seed tree: the axes that its random streams hang on, from its config."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedgen_bench.contract.seeds import SeedTree

if TYPE_CHECKING:
    from fedgen_bench.suite.cells import CellSpec


def seed_tree(spec: CellSpec) -> SeedTree:
    """The seed tree of a cell whose content is known."""
    config = spec.config
    return SeedTree(
        task=spec.task.pairing,
        adapter=config.contender.adapter.pairing,
        partitioner=config.partitioner.pairing,
        strategy=config.contender.strategy.pairing,
        seed=config.seed,
        mechanism="" if config.contender.mechanism is None else config.contender.mechanism.pairing,
    )
