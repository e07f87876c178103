"""Load plugins, validate what they register, and freeze it in a Registry.

Stricter than pluggy's own loader: sources are read in a fixed order, a duplicate name is refused and named, a misspelt
hook is an error, provenance is kept, and a plugin that fails is reported without taking the others down.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
import json
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

import pluggy

from fedgen_bench.base.errors import PluginError, UsageError, unknown
from fedgen_bench.base.failures import is_interrupt, told
from fedgen_bench.base.guards import guarded
from fedgen_bench.contract import hookspecs
from fedgen_bench.contract.specs import (
    AdapterSpec,
    AttackSpec,
    ComponentSpec,
    CompressorSpec,
    EngineSpec,
    MetricSpec,
    PartitionerSpec,
    Provenance,
    StrategySpec,
    SuiteSource,
    TableFormatSpec,
    TaskSpec,
)
from fedgen_bench.registry.hooks_told import hook_problems, place_of_function
from fedgen_bench.registry.sources import editable_sha256, source_sha256

NAME = re.compile(r"^[a-z0-9][a-z0-9._-]{0,63}$")
KINDS: Mapping[str, tuple[str, type]] = MappingProxyType(
    {
        "strategy": ("register_strategies", StrategySpec),
        "adapter": ("register_adapters", AdapterSpec),
        "partitioner": ("register_partitioners", PartitionerSpec),
        "task": ("register_tasks", TaskSpec),
        "metric": ("register_metrics", MetricSpec),
        "compressor": ("register_compressors", CompressorSpec),
        "attack": ("register_attacks", AttackSpec),
        "engine": ("register_engines", EngineSpec),
        "suite": ("register_suites", SuiteSource),
        "table_format": ("register_table_formats", TableFormatSpec),
    }
)
OBSERVERS = ("after_round", "after_run")
_OWN = "fedgen-bench"


@dataclass(frozen=True)
class Failure:
    """A plugin, or one of its components, that was left out, and why."""

    plugin: str
    reason: str


@dataclass(frozen=True)
class Registered:
    """A component with where it came from. `from_file` holds for `--plugin` and `FEDGEN_PLUGINS`."""

    spec: Any
    provenance: Provenance
    from_file: bool = False


@dataclass(frozen=True)
class Observer:
    """An observer's hook: its plugin's name, the hook, what is called, and where it came from."""

    name: str
    hook: str
    function: Callable[..., None]
    provenance: Provenance


@dataclass(frozen=True)
class Registry:
    """Everything that is registered, by kind and name; never changes after loading."""

    components: Mapping[str, Mapping[str, Registered]]
    failures: tuple[Failure, ...]
    plugin_files: tuple[str, ...] = ()
    observers: tuple[Observer, ...] = ()
    _manager: pluggy.PluginManager | None = field(default=None, repr=False, compare=False)

    def get(self, kind: str, name: str) -> Registered:
        """Raises UsageError with the closest name."""
        known = self.components[kind]
        if name not in known:
            raise UsageError(unknown(kind.replace("_", " "), name, known))
        return known[name]

    def find(self, name: str) -> list[tuple[str, Registered]]:
        """Every component called NAME, or the one called KIND/NAME, with its kind.

        Raises:
            UsageError: there is none, with the closest name.
        """
        kind, _, short = name.rpartition("/")
        if kind and kind not in KINDS:
            raise UsageError(unknown("kind", kind, KINDS))
        among = [kind] if kind else list(KINDS)
        found = [(one, self.components[one][short]) for one in among if short in self.components[one]]
        if not found:
            raise UsageError(unknown("component", short, {known for one in among for known in self.components[one]}))
        return found

    def observe(self, hook: str, **event: Any) -> None:
        """Call an observer hook; an observer's failure is a warning, never the run's."""
        if self._manager is None:
            return
        for implementation in getattr(self._manager.hook, hook).get_hookimpls():
            wanted = {name: event[name] for name in implementation.argnames}
            name = f"Observer {implementation.plugin_name}"
            try:
                with guarded(f"{name}.{hook}", **wanted):
                    implementation.function(**wanted)
            except BaseException as error:
                if is_interrupt(error):
                    raise
                warnings.warn(f"{name} failed in {hook}: {told(error)}.", RuntimeWarning, stacklevel=2)


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
    lines = [one.lineno for one in traceback.extract_tb(error.__traceback__) if one.filename == file]
    return f" ({file}:{lines[-1]})" if lines else ""


def check_component(kind: str, spec: object) -> str | None:
    """What is wrong with a registered object, or None."""
    expected = KINDS[kind][1]
    if not isinstance(spec, expected):
        return f"{KINDS[kind][0]} returned a {type(spec).__name__}, expected {expected.__name__}"
    name = spec.name  # type: ignore[attr-defined]
    if not isinstance(name, str) or not NAME.fullmatch(name):
        return f"{kind} name {name!r} does not match {NAME.pattern}"
    if isinstance(spec, ComponentSpec):
        build: object = spec.build
        if not callable(build):
            return f"{kind} `{name}`: build is not callable"
        if not (dataclasses.is_dataclass(spec.params) and spec.params.__dataclass_params__.frozen):  # type: ignore[attr-defined]
            return f"{kind} `{name}`: params is not a frozen dataclass"
        missing = [
            f.name
            for f in dataclasses.fields(spec.params)
            if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        ]
        if missing:
            return f"{kind} `{name}`: params without a default: {', '.join(missing)}"
        if isinstance(spec, TaskSpec) and (
            strange := sorted(spec.evaluation_only - {f.name for f in dataclasses.fields(spec.params)})
        ):
            return f"{kind} `{name}`: evaluation_only names what is no parameter: {', '.join(strange)}"
    if odd := _not_told(spec):
        return f"{kind} `{name}`: {odd}"
    return None


def _not_told(spec: Any) -> str | None:
    """What `list` cannot show and results cannot record of a component or suite, or None."""
    for one in dataclasses.fields(spec):
        value = getattr(spec, one.name)
        if one.type in {"str", str} and not isinstance(value, str):
            return f"{one.name} is {type(value).__name__}, expected str"
    if isinstance(spec, ComponentSpec):
        try:
            values = dataclasses.asdict(spec.params())
        except Exception as error:  # noqa: BLE001 - a plugin's own class
            return f"the defaults of its params are refused: {type(error).__name__}: {error}"
        try:
            json.dumps(values, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            return f"a default of its params cannot be recorded as JSON: {error}"
    return None


def _collect(
    manager: pluggy.PluginManager, origins: Mapping[str, tuple[Provenance, bool]]
) -> tuple[dict[str, dict[str, Registered]], list[Failure]]:
    components: dict[str, dict[str, Registered]] = {kind: {} for kind in KINDS}
    failures: list[Failure] = []
    for label, (provenance, from_file) in origins.items():
        plugin = label if from_file else f"{provenance.distribution}:{label}"
        for kind, (hook, _) in KINDS.items():
            for implementation in getattr(manager.hook, hook).get_hookimpls():
                if implementation.plugin_name != label:
                    continue
                try:
                    specs = [(spec, check_component(kind, spec)) for spec in implementation.function()]
                except BaseException as error:
                    if is_interrupt(error):
                        raise
                    where = _raised_in(error, label) or f" ({place_of_function(implementation.function)})"
                    failures.append(Failure(plugin, f"{hook} failed: {told(error)}{where}"))
                    continue
                for spec, refused in specs:
                    problem = refused
                    other = components[kind].get(spec.name) if problem is None else None
                    if other is not None:
                        owner = other.provenance.distribution
                        problem = f"{kind} `{spec.name}` is already registered by {owner}; rename one of them"
                    if problem is not None:
                        where = place_of_function(implementation.function)
                        failures.append(Failure(plugin, f"{problem} ({where})"))
                        continue
                    components[kind][spec.name] = Registered(spec, provenance, from_file)
    return components, failures


def _observers(manager: pluggy.PluginManager, origins: Mapping[str, tuple[Provenance, bool]]) -> tuple[Observer, ...]:
    return tuple(
        Observer(Path(label).stem if from_file else label, hook, implementation.function, provenance)
        for label, (provenance, from_file) in origins.items()
        for hook in OBSERVERS
        for implementation in getattr(manager.hook, hook).get_hookimpls()
        if implementation.plugin_name == label
    )


def _entry_points(
    block: Iterable[str],
) -> tuple[list[tuple[str, importlib.metadata.EntryPoint, Provenance]], list[Failure]]:
    """Entry points, ours first, then by (distribution, name); one name in two distributions is refused."""
    blocked = set(block)
    found: list[tuple[str, importlib.metadata.EntryPoint, Provenance]] = []
    failures: list[Failure] = []
    owners: dict[str, str] = {}
    points = {
        (e.dist.name if e.dist else "", e.name): e for e in importlib.metadata.entry_points(group=hookspecs.PROJECT)
    }
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
        found.append((name, point, Provenance(distribution, point.dist.version if point.dist else "")))
    return found, failures


def load_registry(plugin_files: Iterable[str | Path] = (), *, environ: Mapping[str, str] = os.environ) -> Registry:
    """Load every plugin: entry points, then `plugin_files`, then `FEDGEN_PLUGINS` (paths, separated as in PATH).

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
    files = tuple(dict.fromkeys(str(Path(one).expanduser().resolve()) for one in asked))
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
    frozen = MappingProxyType({kind: MappingProxyType(found) for kind, found in components.items()})
    return Registry(frozen, tuple(failures + refused), files, _observers(manager, origins), manager)
