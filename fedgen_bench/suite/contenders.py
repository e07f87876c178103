"""Contenders that a suite does not list: its reference with one component exchanged."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.errors import UsageError
from fedgen_bench.contract.params import make_params
from fedgen_bench.suite.overrides import typed_value
from fedgen_bench.suite.schema import Component, Contender, SuiteSpec

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Registered, Registry

# What is asked for becomes a row's name: nothing that tables, pages or shells would have to escape but quotes.
_ASKED = re.compile(r"[\w./-]+(:\w+=[\w.+\-,=\"'\[\]{}]+)*", re.ASCII)
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
    """A contender for every component asked for, and for every strategy that a plugin file brings.

    A component is asked for by name, or as `NAME:key=value` with parameters of its own, one behind the other
    (`lora:rank=4:alpha=8`); what is asked for, less a kind, is the row's name, from which it can be made again.

    Raises:
        UsageError: a component that does not exist, that several kinds have, or that cannot be exchanged for a row;
            parameters that it refuses.
    """
    taken = {one.name for one in suite.contender}
    used = {one.strategy.name for one in suite.contender}
    added: dict[str, Contender] = {}
    for text in asked:
        asked_for, params = _read(text)
        kind, registered = _exchangeable(asked_for, registry)
        if (name := text[asked_for.rfind("/") + 1 :]) in taken:
            raise UsageError(f"The suite has a contender `{name}` already. Choose it with `--contender {name}`.")
        for path, sentence in make_params(registered.spec.params, params)[1]:
            raise UsageError(f"{'.'.join((kind, *path))} of `{text}`: {sentence}")
        added[name] = _reference_with(suite, kind, registered, name, params)
    for name, registered in sorted(registry.components["strategy"].items()):
        if registered.from_file and name not in taken | used:
            added.setdefault(name, _reference_with(suite, "strategy", registered, name, {}))
    return tuple(added.values())


def component_of(name: str) -> str:
    """The component that an added contender of this name is named after."""
    return name.partition(":")[0]


def _read(text: str) -> tuple[str, dict[str, Any]]:
    """`NAME` or `KIND/NAME`, and the parameters behind it."""
    if not _ASKED.fullmatch(text):
        raise UsageError(
            f"`{text}` names no contender. Write NAME, or NAME:key=value with values without spaces, for instance "
            "`lora:rank=4:alpha=8`. What does not fit there stands in a suite of your own (`fedgen-bench new-suite`)."
        )
    name, *settings = text.split(":")
    params: dict[str, Any] = {}
    for setting in settings:
        key, _, raw = setting.partition("=")
        if key in params:
            raise UsageError(f"`{text}` gives `{key}` twice. Leave one of them out.")
        params[key] = typed_value(raw)
    return name, params


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


def _reference_with(
    suite: SuiteSpec, kind: str, registered: Registered, name: str, params: Mapping[str, Any]
) -> Contender:
    """The suite's reference with this component in its place (a compressor: alone on the uplink)."""
    reference = next(contender for contender in suite.contender if contender.name == suite.suite.reference)
    component = Component(name=registered.spec.name, params=dict(params))
    changed: dict[str, Any] = {"uplink": (component,)} if kind == "compressor" else {kind: component}
    ranked = registered.spec.cohort == "sampled" if kind == "strategy" else reference.ranked
    return reference.model_copy(update={"name": name, "ranked": ranked, **changed})
