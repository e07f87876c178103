"""What a component's name, a plugin file or a distribution brings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fedgen_bench.base.errors import UsageError, unknown
from fedgen_bench.registry.kinds import KINDS
from fedgen_bench.registry.registry import Failure, Observer, Registered, Registry
from fedgen_bench.registry.sources import source_sha256


@dataclass(frozen=True)
class Target:
    """What is there to be checked.

    Args:
        names: KIND/NAME of every component, and `observer/NAME` of every observer.
        left_out: what could not be registered.
    """

    names: frozenset[str]
    left_out: tuple[Failure, ...]


def is_file(target: str) -> bool:
    """Whether the target is a plugin file's path, which the registry is loaded with."""
    return target.endswith(".py")


def find_target(registry: Registry, target: str) -> Target:
    """All that the target means: NAME, KIND/NAME, the path of a plugin file, or a distribution.

    Raises:
        UsageError: it means nothing, with the closest name.
    """
    return Target(frozenset(_names(registry, target)), tuple(_left_out(registry, target)))


def _names(registry: Registry, target: str) -> set[str]:
    everything: list[tuple[str, Registered | Observer]] = [
        *((f"{kind}/{name}", one) for kind in KINDS for name, one in registry.components[kind].items()),
        *((f"observer/{one.name}", one) for one in registry.observers),
    ]
    if target in (observers := {key for key, _ in everything if key.startswith("observer/")}):
        return observers & {target}
    if is_file(target):
        source = source_sha256(Path(target).expanduser())
        return {key for key, one in everything if one.provenance.source_sha256 == source}
    distributions = {one.provenance.distribution for _, one in everything}
    distributions |= {one.plugin.partition(":")[0] for one in registry.failures}
    if target in distributions:
        return {key for key, one in everything if one.provenance.distribution == target}
    known = {name for kind in KINDS for name in registry.components[kind]}
    if "/" not in target and target not in known:
        raise UsageError(unknown("component, file or distribution", target, known | distributions))
    return {f"{kind}/{one.spec.name}" for kind, one in registry.find(target)}


def _left_out(registry: Registry, target: str) -> Iterator[Failure]:
    resolved = str(Path(target).expanduser().resolve())
    for one in registry.failures:
        if one.plugin == resolved if is_file(target) else one.plugin.partition(":")[0] == target:
            yield one
