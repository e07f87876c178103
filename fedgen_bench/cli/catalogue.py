"""Components as plain records, for `list` and `show`. No heavy import."""

from __future__ import annotations

import dataclasses
import tomllib
from typing import TYPE_CHECKING, Any

from fedgen_bench.contract.specs import ComponentSpec, SuiteSource

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Registered, Registry


def describe(kind: str, registered: Registered) -> dict[str, Any]:
    """One component: name, summary, parameters with defaults, version, distribution."""
    spec, origin = registered.spec, registered.provenance
    record: dict[str, Any] = {
        "kind": kind,
        "name": spec.name,
        "distribution": origin.distribution,
        "distribution_version": origin.version,
    }
    if isinstance(spec, ComponentSpec):
        return record | {"summary": spec.summary, "version": spec.version, "params": dataclasses.asdict(spec.params())}
    if not isinstance(spec, SuiteSource):
        return record | {"summary": spec.summary, "version": "", "params": {}}
    try:
        head = tomllib.loads(spec.toml)["suite"]
        return record | {"summary": str(head["title"]), "version": str(head["version"]), "params": {}}
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        return record | {"summary": f"cannot be read: {error}", "version": "", "params": {}}


def catalogue(registry: Registry, kinds: tuple[str, ...]) -> list[dict[str, Any]]:
    """Every component of the kinds, by kind and name."""
    return [describe(kind, registered) for kind in kinds for _, registered in sorted(registry.components[kind].items())]
