"""A run's seed tree: the axes that its random streams hang on, from its config."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fedgen_bench.contract.seeds import SeedTree

if TYPE_CHECKING:
    from fedgen_bench.suite.suites import RunSpec


def identity(component: Mapping[str, Any]) -> str:
    """A component as an axis of the seed tree: its name, version and parameters (of a task: as it pairs)."""
    params = component["params"] | component.get("pairs_as", {})
    return json.dumps([component["name"], component["version"], params], sort_keys=True)


def seed_tree(spec: RunSpec) -> SeedTree:
    """The seed tree of a run whose content is known."""
    config, contender = spec.config, spec.config["contender"]
    return SeedTree(
        identity(spec.task),
        identity(contender["adapter"]),
        identity(config["partitioner"]),
        identity(contender["strategy"]),
        config["seed"],
    )
