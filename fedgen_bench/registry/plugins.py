"""Load plugins, look at what they register, and freeze it in a Registry.

Stricter than pluggy's own loader: sources are read in a fixed order, a duplicate name is refused and named, a misspelt
hook is an error, provenance is kept, and a plugin that fails is reported without taking the others down.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

import pluggy

from fedgen_bench.base.errors import PluginError, UsageError
from fedgen_bench.base.failures import is_interrupt, told
from fedgen_bench.contract import hookspecs
from fedgen_bench.contract.specs import Provenance
from fedgen_bench.registry.hook_problems import hook_problems, place_of_function
from fedgen_bench.registry.kinds import KINDS, OBSERVERS
from fedgen_bench.registry.registry import Failure, Observer, Registered, Registry
from fedgen_bench.registry.sources import editable_sha256, source_sha256
from fedgen_bench.registry.spec_problems import spec_problem
from fedgen_bench.registry.trackers import plugin_path

_OWN, _CORE = "fedgen-bench", "fedgen-bench-core"  # the same code under two names, with all libraries and with a few


def _import_file(path: Path) -> ModuleType:
    name = f"fedgen_plugin_{re.sub(r'[^0-9a-zA-Z]', '_', path.stem)}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is not a Python file. Give the path of a `.py` file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _register(manager: pluggy.PluginManager, label: str, load: Callable[[], object]) -> str | None:
    """Import and register one plugin; the reason when it cannot be used."""
    try:
        plugin = load()
    except BaseException as error:
        if is_interrupt(error):
            raise
        return f"cannot be imported: {told(error)}{_raised_in(error, label)}"
    if problems := list(hook_problems(plugin)):
        return f"cannot be used: {' '.join(problems)}"
    try:
        manager.register(plugin, name=label)
        manager.check_pending()
    except (ValueError, pluggy.PluginValidationError) as error:
        if manager.is_registered(plugin):
            manager.unregister(plugin)
        return " ".join(str(error).split())
    return None


def _raised_in(error: BaseException, file: str) -> str:
    """Where in a plugin's file an import ended, in brackets; a syntax error says so itself."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f" ({file}:{lines[-1]})" if lines else ""


def _collect(
    manager: pluggy.PluginManager, origins: Mapping[str, tuple[Provenance, bool]]
) -> tuple[dict[str, dict[str, Registered]], list[Failure]]:
    components: dict[str, dict[str, Registered]] = {kind: {} for kind in KINDS}
    failures: list[Failure] = []
    for label, (provenance, from_file) in origins.items():
        plugin = label if from_file else f"{provenance.distribution}:{label}"
        for kind, hook in ((kind, one.hook) for kind, one in KINDS.items()):
            for function in _implementations(manager, hook, label):
                try:
                    specs = [(spec, spec_problem(kind, spec)) for spec in function()]
                except BaseException as error:
                    if is_interrupt(error):
                        raise
                    where = _raised_in(error, label) or f" ({place_of_function(function)})"
                    failures.append(Failure(plugin, f"{hook} failed: {told(error)}{where}"))
                    continue
                for spec, refused in specs:
                    if problem := refused or _taken(kind, spec, components[kind]):
                        failures.append(Failure(plugin, f"{problem} ({place_of_function(function)})"))
                    else:
                        components[kind][spec.name] = Registered(spec, provenance, from_file)
    return components, failures


def _implementations(manager: pluggy.PluginManager, hook: str, label: str) -> list[Callable[..., Any]]:
    """What one plugin has of a hook."""
    return [impl.function for impl in getattr(manager.hook, hook).get_hookimpls() if impl.plugin_name == label]


def _taken(kind: str, spec: Any, known: Mapping[str, Registered]) -> str:
    """Who has a component's name, or a claim's number, already, as a sentence; empty when nobody has."""
    if spec.name in known:
        owner = known[spec.name].provenance.distribution
        return f"{kind} `{spec.name}` is already registered by {owner}; rename one of them"
    for other in known.values() if kind == "claim" else ():
        if other.spec.number == spec.number:
            return f"claim `{spec.name}` has number {spec.number} of claim `{other.spec.name}`; renumber one of them"
    return ""


def _observers(manager: pluggy.PluginManager, origins: Mapping[str, tuple[Provenance, bool]]) -> tuple[Observer, ...]:
    return tuple(
        Observer(Path(label).stem if from_file else label, hook, function, provenance)
        for label, (provenance, from_file) in origins.items()
        for hook in OBSERVERS
        for function in _implementations(manager, hook, label)
    )


def _entry_points(
    block: Iterable[str],
) -> tuple[list[tuple[str, importlib.metadata.EntryPoint, Provenance]], list[Failure]]:
    """Entry points, ours first, then by (distribution, name); one name in two distributions is refused."""
    blocked = set(block)
    usable: list[tuple[str, importlib.metadata.EntryPoint, Provenance]] = []
    failures: list[Failure] = []
    owners: dict[str, str] = {}
    points = {(_distribution(e), e.name): e for e in importlib.metadata.entry_points(group=hookspecs.PROJECT)}
    for (distribution, name), point in sorted(points.items(), key=lambda item: (item[0][0] != _OWN, item[0])):
        if name in blocked or distribution in blocked:
            continue
        if name in owners:
            failures.append(
                Failure(
                    f"{distribution}:{name}",
                    f"entry point `{name}` is already declared by {owners[name]}; rename one of them",
                )
            )
            continue
        owners[name] = distribution
        usable.append((name, point, Provenance(distribution, point.dist.version if point.dist else "")))
    return usable, failures


def _distribution(point: importlib.metadata.EntryPoint) -> str:
    name = point.dist.name if point.dist else ""
    return _OWN if name == _CORE else name


def load_registry(plugin_files: Iterable[str | Path] = (), *, environ: Mapping[str, str] = os.environ) -> Registry:
    """Load every plugin: entry points, then `plugin_files`, then `FEDGEN_PLUGINS` (paths, separated as in PATH).

    Among files, `tracker/NAME` is an installed tracker.

    `FEDGEN_BLOCK` (comma-separated entry-point or distribution names) leaves plugins out.

    Raises:
        UsageError: a plugin file that was asked for does not exist.
        PluginError: a plugin file that was asked for cannot be used.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    points, failures = _entry_points(filter(None, environ.get("FEDGEN_BLOCK", "").split(",")))
    origins: dict[str, tuple[Provenance, bool]] = {}
    for label, point, provenance in points:
        reason = _register(manager, label, point.load)
        if reason is None:
            sha256 = "" if provenance.distribution == _OWN else editable_sha256(point)
            origins[label] = (dataclasses.replace(provenance, source_sha256=sha256), False)
        else:
            failures.append(Failure(f"{provenance.distribution}:{label}", reason))
    asked = [*map(str, plugin_files), *filter(None, environ.get("FEDGEN_PLUGINS", "").split(os.pathsep))]
    files = tuple(dict.fromkeys(str(plugin_path(one).expanduser().resolve()) for one in asked))
    for file in map(Path, files):
        if not file.is_file():
            raise UsageError(f"Plugin file {file} does not exist. Give the path of a `.py` file.")
        label = file.name
        provenance = Provenance(f"file:{file.name}", "", source_sha256(file))
        reason = _register(manager, str(file), lambda file=file: _import_file(file))  # type: ignore[misc]
        if reason is None:
            origins[str(file)] = (provenance, True)
        else:
            raise PluginError(f"Plugin file {label} {reason}.")
    components, refused = _collect(manager, origins)
    frozen = MappingProxyType({kind: MappingProxyType(registered) for kind, registered in components.items()})
    return Registry(frozen, tuple(failures + refused), files, _observers(manager, origins), manager)
