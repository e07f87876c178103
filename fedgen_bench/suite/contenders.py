"""Contenders that a suite does not list: its reference with one component exchanged."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.errors import UsageError
from fedgen_bench.suite.schema import Component, Contender, SuiteSpec

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Registered, Registry

EXCHANGED = ("strategy", "adapter", "compressor", "mechanism")
_SETTINGS = {
    "partitioner": 'partitioner={{name="{name}"}}',
    "metric": 'evaluation.other_metrics=["{name}"]',
    "task": 'task={{name="{name}"}}',
    "device_profile": 'devices={{profile="{name}"}}',
    "attack": 'attack={{name="{name}", fraction=0.2}}',
}


def options_for(kind: str, name: str) -> tuple[str, ...]:
    """Options of `fedgen-bench run` that put a component into a suite's table; none when there are none."""
    if kind in EXCHANGED:
        return ("--with", name)
    return ("--set", _SETTINGS[kind].format(name=name)) if kind in _SETTINGS else ()


def added_contenders(suite: SuiteSpec, registry: Registry, asked: Iterable[str] = ()) -> tuple[Contender, ...]:
    """A contender for every component asked for by name, and for every strategy that a plugin file brings.

    Raises:
        UsageError: a component that does not exist, that several kinds have, or that cannot be exchanged for a row.
    """
    taken = {one.name for one in suite.contender}
    used = {one.strategy.name for one in suite.contender}
    added: dict[str, Contender] = {}
    for text in asked:
        kind, registered = _exchangeable(text, registry)
        if (name := registered.spec.name) in taken:
            raise UsageError(f"The suite has a contender `{name}` already. Choose it with `--contender {name}`.")
        added[name] = _reference_with(suite, kind, registered)
    for name, registered in sorted(registry.components["strategy"].items()):
        if registered.from_file and name not in taken | used:
            added.setdefault(name, _reference_with(suite, "strategy", registered))
    return tuple(added.values())


def _exchangeable(text: str, registry: Registry) -> tuple[str, Registered]:
    found = registry.find(text)
    able = [one for one in found if one[0] in EXCHANGED]
    if len(able) > 1:
        choices = ", ".join(f"`{kind}/{one.spec.name}`" for kind, one in able)
        raise UsageError(f"`{text}` is the name of several components. Write one of {choices}.")
    if not able:
        kind, one = found[0]
        words = shlex.join(options_for(kind, one.spec.name))
        hint = f" Try it with `{words}`: such results are shown, never ranked." if words else ""
        raise UsageError(f"`{text}` is a {kind.replace('_', ' ')}, which is no part of a contender.{hint}")
    return able[0]


def _reference_with(suite: SuiteSpec, kind: str, registered: Registered) -> Contender:
    """The suite's reference with this component in its place (a compressor: alone on the uplink), named after it."""
    reference = next(contender for contender in suite.contender if contender.name == suite.suite.reference)
    component = Component(name=registered.spec.name)
    changed: dict[str, Any] = {"uplink": (component,)} if kind == "compressor" else {kind: component}
    ranked = registered.spec.cohort == "sampled" if kind == "strategy" else reference.ranked
    return reference.model_copy(update={"name": registered.spec.name, "ranked": ranked, **changed})
